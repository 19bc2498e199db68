/** Compiles the write brake, as `thaw-helper.ts` does with the thaw helper and for the same reasons. */
import { compileStatic, localStatic } from './thaw-helper.ts';

const source = 'src/mobility-service/consistency/write-brake.c';

/** Compiles to `outputPath`. */
export const compileWriteBrake = (outputPath: string): void => compileStatic(source, outputPath);

/** The path of a brake for this machine, compiled when its source changed. Throws without a C compiler. */
export const localWriteBrake = (): string => localStatic(source, 'write-brake', 'leeward-brake');
