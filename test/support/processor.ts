/**
 * Milliseconds of processor time that this process has had so far. What must not take long is measured by it: the time on
 * the wall depends on what else the machine does.
 */
export const processorMs = (): number => process.cpuUsage().user / 1000;
