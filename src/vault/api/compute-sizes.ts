/**
 * Target compute sizes: what a failed-over machine may be given. A hypervisor of one's own gives any number of processors and
 * any amount of memory; the reference's clients want names, so there is a table of them. `cpu4-memory16` is four processors
 * and 16 GiB.
 */
import type { MachineShape } from '../workflows/inputs.ts';

const processors = [1, 2, 4, 8, 16, 32, 64];
/** GiB for each processor. */
const memoryRatios = [1, 2, 4, 8];
export const sizes = processors.flatMap((cpuCount) =>
  memoryRatios.map((ratio) => ({
    name: `cpu${cpuCount}-memory${cpuCount * ratio}`,
    cpuCount,
    memoryGibibytes: cpuCount * ratio,
  })),
);

/** Undefined: there is no size of this name. */
export function sizeOf(name: string): Pick<MachineShape, 'cpuCount' | 'memoryMebibytes'> | undefined {
  const size = sizes.find((one) => one.name === name.toLowerCase());
  return size && { cpuCount: size.cpuCount, memoryMebibytes: size.memoryGibibytes * 1024 };
}
