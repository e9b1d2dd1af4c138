/** Memory that both WebAssembly and the threads of this process see. It never grows, so that its buffer stays the same. */

/** A `WebAssembly.Memory`. A message to another thread may bring it there. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

/** TypeScript has the types of this only together with those of a browser. */
declare const WebAssembly: {
  Memory: new (limits: { initial: number; maximum: number; shared: true }) => SharedMemory;
  validate(bytes: Uint8Array): boolean;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: { env: { memory: SharedMemory } }) => { exports: unknown };
};

/** What memory is counted in, in bytes. */
export const PAGE = 1 << 16;

/** Zeros. What nobody writes to takes address space only. */
export const createMemory = (bytes: number): SharedMemory => {
  const pages = Math.ceil(bytes / PAGE);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
};

/** What a module over this memory exports. @param modules bytes for a memory of so many pages; the first that runs here is taken */
export const instantiate = <T>(memory: SharedMemory, modules: readonly ((pages: number) => Uint8Array)[]): T => {
  const pages = memory.buffer.byteLength / PAGE;
  let bytes = modules[0]!(pages);
  for (const other of modules.slice(1)) if (!WebAssembly.validate(bytes)) bytes = other(pages);
  const module = new WebAssembly.Module(bytes);
  return new WebAssembly.Instance(module, { env: { memory } }).exports as T;
};
