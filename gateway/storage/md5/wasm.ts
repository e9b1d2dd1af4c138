/**
 * Writes WebAssembly modules: as much of the binary format (WebAssembly Core Specification 2.0, chapter 5) as a hash takes,
 * with the 128 bit vectors. It is a stack machine: `get(a).get(b).add()` is a + b.
 */

/** Bytes that grow. */
export interface Output {
  byte(...values: number[]): void;
  /** Unsigned LEB128. */
  unsigned(value: number): void;
  /** Signed LEB128, 32 bit. */
  signed(value: number): void;
  /** Bytes behind their number. */
  sized(bytes: Uint8Array): void;
  written(): Uint8Array;
}

const createOutput = (): Output => {
  let memory = new Uint8Array(1 << 12);
  let length = 0;
  const reserve = (count: number): void => {
    if (length + count <= memory.length) return;
    const larger = new Uint8Array(2 * memory.length + count);
    larger.set(memory);
    memory = larger;
  };
  const put = (value: number): void => {
    reserve(1);
    memory[length++] = value;
  };
  const unsigned = (value: number): void => {
    let rest = value;
    for (; rest >= 0x80; rest >>>= 7) put((rest & 0x7f) | 0x80);
    put(rest);
  };
  return {
    byte: (...values) => {
      for (const value of values) put(value);
    },
    unsigned,
    signed: (value) => {
      let rest = value | 0;
      for (; rest < -0x40 || rest >= 0x40; rest >>= 7) put((rest & 0x7f) | 0x80);
      put(rest & 0x7f);
    },
    sized: (bytes) => {
      unsigned(bytes.length);
      reserve(bytes.length);
      memory.set(bytes, length);
      length += bytes.length;
    },
    written: () => memory.subarray(0, length),
  };
};

// ---- instructions ------------------------------------------------------------------------------------------------

/** What can be done with 32 bit words, with one, or with four at once, each on its own. Each takes from the stack and puts there. */
export interface Words {
  get(local: number): Words;
  set(local: number): Words;
  /** From the address on the stack, plus the offset. Addresses may be odd. */
  load(offset: number): Words;
  /** The value above its address. */
  store(offset: number): Words;
  add(): Words;
  and(): Words;
  or(): Words;
  xor(): Words;
  not(): Words;
  /** @param spare a local that it may use */
  rotateLeft(bits: number, spare: number): Words;
}

/** The types of locals. */
export const INTEGER = 0x7f;
export const VECTOR = 0x7b;

/** A number of 32 bits on the stack. */
export const int = (out: Output, value: number): void => {
  out.byte(0x41);
  out.signed(value);
};

/** One word each. */
export const integers = (out: Output): Words => {
  const op = (code: number, ...immediates: number[]) => {
    out.byte(code);
    for (const value of immediates) out.unsigned(value);
    return words;
  };
  const words: Words = {
    get: (local) => op(0x20, local),
    set: (local) => op(0x21, local),
    // The alignment is a power of two, and only a hint.
    load: (offset) => op(0x28, 2, offset),
    store: (offset) => op(0x36, 2, offset),
    add: () => op(0x6a),
    and: () => op(0x71),
    or: () => op(0x72),
    xor: () => op(0x73),
    not: () => {
      int(out, -1);
      return op(0x73);
    },
    rotateLeft: (bits) => {
      int(out, bits);
      return op(0x77);
    },
  };
  return words;
};

/** Four words each. */
export const vectors = (out: Output): Words => {
  const op = (code: number, ...immediates: number[]) => {
    out.byte(0xfd);
    for (const value of [code, ...immediates]) out.unsigned(value);
    return words;
  };
  const local = (code: number, number: number) => {
    out.byte(code);
    out.unsigned(number);
    return words;
  };
  const words: Words = {
    get: (number) => local(0x20, number),
    set: (number) => local(0x21, number),
    load: (offset) => op(0, 4, offset),
    store: (offset) => op(11, 4, offset),
    add: () => op(174),
    and: () => op(78),
    or: () => op(80),
    xor: () => op(81),
    not: () => op(77),
    rotateLeft: (bits, spare) => {
      // There is no such instruction: two shifts.
      local(0x22, spare);
      int(out, bits);
      op(171).get(spare);
      int(out, 32 - bits);
      return op(173).or();
    },
  };
  return words;
};

/** Of the two vectors on the stack, one of their words. @param words 0–3 are those of the lower one, 4–7 those of the upper */
export const shuffle = (out: Output, words: readonly [number, number, number, number]): void => {
  out.byte(0xfd);
  out.unsigned(13);
  for (const word of words) out.byte(4 * word, 4 * word + 1, 4 * word + 2, 4 * word + 3);
};

/** Runs the body, and again as long as it leaves a number that is not zero. */
export const repeat = (out: Output, body: () => void): void => {
  // A loop without a result.
  out.byte(0x03, 0x40);
  body();
  // A branch to its beginning; its end.
  out.byte(0x0d, 0x00, 0x0b);
};

// ---- a module ----------------------------------------------------------------------------------------------------

/** A function of 32 bit numbers that returns nothing. */
export interface Definition {
  name: string;
  /** How many; they are the first locals. */
  parameters: number;
  /** How many of which type follow. */
  locals: { count: number; type: number };
  body(out: Output): void;
}

/** The bytes of a module that exports these functions, over the shared memory `env.memory` of so many pages. */
export const createModule = (pages: number, functions: readonly Definition[]): Uint8Array => {
  const out = createOutput();
  const name = (inner: Output, text: string): void => inner.sized(new TextEncoder().encode(text));
  const part = (write: (inner: Output) => void): Uint8Array => {
    const inner = createOutput();
    write(inner);
    return inner.written();
  };
  /** As many entries as there are functions. */
  const section = (id: number, write: (inner: Output, definition: Definition, index: number) => void): void => {
    out.byte(id);
    out.sized(
      part((inner) => {
        inner.unsigned(functions.length);
        for (const [index, definition] of functions.entries()) write(inner, definition, index);
      }),
    );
  };
  // "\0asm", version 1.
  out.byte(0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
  section(1, (types, { parameters }) => {
    types.byte(0x60);
    types.sized(new Uint8Array(parameters).fill(INTEGER));
    types.unsigned(0);
  });
  out.byte(2);
  out.sized(
    part((imports) => {
      imports.unsigned(1);
      name(imports, 'env');
      name(imports, 'memory');
      // A memory, shared, that does not grow.
      imports.byte(0x02, 0x03);
      imports.unsigned(pages);
      imports.unsigned(pages);
    }),
  );
  section(3, (indices, _, index) => indices.unsigned(index));
  section(7, (exports, definition, index) => {
    name(exports, definition.name);
    exports.byte(0x00);
    exports.unsigned(index);
  });
  section(10, (codes, { locals, body }) => {
    codes.sized(
      part((code) => {
        code.unsigned(1);
        code.unsigned(locals.count);
        code.byte(locals.type);
        body(code);
        code.byte(0x0b);
      }),
    );
  });
  return out.written();
};
