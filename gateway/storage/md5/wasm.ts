/**
 * Writes WebAssembly modules: as much of the binary format (WebAssembly Core Specification 2.0, chapter 5) as a hash takes,
 * with the 128 bit vectors. An expression is a function that writes its code.
 */

/** Writes instructions. What it leaves on the stack is up to it. */
export type Emit = (out: Output) => void;

export interface Output {
  byte(value: number): void;
  /** Unsigned LEB128. */
  unsigned(value: number): void;
  /** Signed LEB128, 32 bit. */
  signed(value: number): void;
  bytes(values: Uint8Array): void;
  /** What was written, once all is. */
  result(): Uint8Array;
}

const createOutput = (): Output => {
  let memory = new Uint8Array(1 << 16);
  let length = 0;
  const byte = (value: number): void => {
    if (length === memory.length) {
      const larger = new Uint8Array(memory.length * 2);
      larger.set(memory);
      memory = larger;
    }
    memory[length++] = value;
  };
  return {
    byte,
    unsigned: (value) => {
      for (let rest = value; ; rest >>>= 7) {
        if (rest < 0x80) return byte(rest);
        byte((rest & 0x7f) | 0x80);
      }
    },
    signed: (value) => {
      for (let rest = value | 0; ; rest >>= 7) {
        if (rest >= -0x40 && rest < 0x40) return byte(rest & 0x7f);
        byte((rest & 0x7f) | 0x80);
      }
    },
    bytes: (values) => {
      for (const value of values) byte(value);
    },
    result: () => memory.slice(0, length),
  };
};

const written = (emit: Emit): Uint8Array => {
  const out = createOutput();
  emit(out);
  return out.result();
};

/** Bytes behind their number. */
const sized = (out: Output, bytes: Uint8Array): void => {
  out.unsigned(bytes.length);
  out.bytes(bytes);
};
const name = (out: Output, text: string): void => sized(out, new TextEncoder().encode(text));

// ---- instructions ------------------------------------------------------------------------------------------------

export const get =
  (local: number): Emit =>
  (out) => {
    out.byte(0x20);
    out.unsigned(local);
  };

/** Takes a value into a local. */
export const set =
  (local: number, value: Emit): Emit =>
  (out) => {
    value(out);
    out.byte(0x21);
    out.unsigned(local);
  };

/** The same, and leaves it on the stack. */
export const tee =
  (local: number, value: Emit): Emit =>
  (out) => {
    value(out);
    out.byte(0x22);
    out.unsigned(local);
  };

export const int =
  (value: number): Emit =>
  (out) => {
    out.byte(0x41);
    out.signed(value);
  };

/** All of them, one behind the other. */
export const sequence =
  (parts: readonly Emit[]): Emit =>
  (out) => {
    for (const part of parts) part(out);
  };

/** Runs the body, and again as long as the condition, which comes after it, is not zero. */
export const repeat =
  (body: Emit, condition: Emit): Emit =>
  (out) => {
    // loop, of no result … br_if to its beginning, end.
    out.bytes(Uint8Array.of(0x03, 0x40));
    body(out);
    condition(out);
    out.bytes(Uint8Array.of(0x0d, 0x00, 0x0b));
  };

/** An instruction for 32 bit numbers is one byte; one for vectors has a prefix, and a number. */
const INTEGERS = 0;
const VECTORS = 0xfd;

const op =
  (prefix: number, code: number, ...operands: Emit[]): Emit =>
  (out) => {
    for (const operand of operands) operand(out);
    if (prefix === INTEGERS) return out.byte(code);
    out.byte(prefix);
    out.unsigned(code);
  };

/** Of no more than the alignment promised, which is only a hint: addresses may be odd. */
const access = (prefix: number, code: number, alignment: number, offset: number, ...operands: Emit[]): Emit =>
  sequence([
    op(prefix, code, ...operands),
    (out) => {
      out.unsigned(alignment);
      out.unsigned(offset);
    },
  ]);

/** What can be done with 32 bit words: with one, or with four at once, each on its own. */
export interface Words {
  /** As the type of a local. */
  type: number;
  load(address: Emit, offset: number): Emit;
  store(address: Emit, offset: number, value: Emit): Emit;
  add(a: Emit, b: Emit): Emit;
  and(a: Emit, b: Emit): Emit;
  or(a: Emit, b: Emit): Emit;
  xor(a: Emit, b: Emit): Emit;
  not(a: Emit): Emit;
  /** @param spare a local that it may use */
  rotateLeft(a: Emit, bits: number, spare: number): Emit;
}

export const integers: Words = {
  type: 0x7f,
  load: (address, offset) => access(INTEGERS, 0x28, 2, offset, address),
  store: (address, offset, value) => access(INTEGERS, 0x36, 2, offset, address, value),
  add: (a, b) => op(INTEGERS, 0x6a, a, b),
  and: (a, b) => op(INTEGERS, 0x71, a, b),
  or: (a, b) => op(INTEGERS, 0x72, a, b),
  xor: (a, b) => op(INTEGERS, 0x73, a, b),
  not: (a) => op(INTEGERS, 0x73, a, int(-1)),
  rotateLeft: (a, bits) => op(INTEGERS, 0x77, a, int(bits)),
};

export const vectors: Words = {
  type: 0x7b,
  load: (address, offset) => access(VECTORS, 0, 4, offset, address),
  store: (address, offset, value) => access(VECTORS, 11, 4, offset, address, value),
  add: (a, b) => op(VECTORS, 174, a, b),
  and: (a, b) => op(VECTORS, 78, a, b),
  or: (a, b) => op(VECTORS, 80, a, b),
  xor: (a, b) => op(VECTORS, 81, a, b),
  not: (a) => op(VECTORS, 77, a),
  rotateLeft: (a, bits, spare) => {
    const left = op(VECTORS, 171, tee(spare, a), int(bits));
    return op(VECTORS, 80, left, op(VECTORS, 173, get(spare), int(32 - bits)));
  },
};

/** A vector of words of two others. @param words 0–3 are those of `a`, 4–7 those of `b` */
export const shuffle = (a: Emit, b: Emit, words: readonly [number, number, number, number]): Emit =>
  sequence([
    op(VECTORS, 13, a, b),
    (out) => {
      for (const word of words) for (let byte = 0; byte < 4; byte++) out.byte(4 * word + byte);
    },
  ]);

// ---- a module ----------------------------------------------------------------------------------------------------

/** A function of 32 bit numbers that returns nothing. */
export interface Definition {
  name: string;
  /** How many; they are the first locals. */
  parameters: number;
  /** How many of which type follow. */
  locals: readonly { count: number; type: number }[];
  body: Emit;
}

/** The bytes of a module that exports these functions, over the shared memory `env.memory` of so many pages. */
export const createModule = (pages: number, functions: readonly Definition[]): Uint8Array => {
  const section = (out: Output, id: number, count: number, content: Emit): void => {
    out.byte(id);
    sized(
      out,
      written((inner) => {
        inner.unsigned(count);
        content(inner);
      }),
    );
  };
  return written((out) => {
    // "\0asm", version 1.
    out.bytes(Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    section(out, 1, functions.length, (types) => {
      for (const { parameters } of functions) {
        types.byte(0x60);
        sized(types, new Uint8Array(parameters).fill(integers.type));
        types.unsigned(0);
      }
    });
    section(out, 2, 1, (imports) => {
      name(imports, 'env');
      name(imports, 'memory');
      // A memory, shared, that does not grow.
      imports.bytes(Uint8Array.of(0x02, 0x03));
      imports.unsigned(pages);
      imports.unsigned(pages);
    });
    section(out, 3, functions.length, (indices) => {
      for (let i = 0; i < functions.length; i++) indices.unsigned(i);
    });
    section(out, 7, functions.length, (exports) => {
      for (const [i, definition] of functions.entries()) {
        name(exports, definition.name);
        exports.byte(0x00);
        exports.unsigned(i);
      }
    });
    section(out, 10, functions.length, (codes) => {
      for (const { locals, body } of functions) {
        sized(
          codes,
          written((code) => {
            code.unsigned(locals.length);
            for (const { count, type } of locals) {
              code.unsigned(count);
              code.byte(type);
            }
            body(code);
            code.byte(0x0b);
          }),
        );
      }
    });
  });
};
