/** The only source of randomness. Simulation passes a seeded one. */
import { randomBytes, randomUUID } from 'node:crypto';

export interface Random {
  uuid(): string;
  bytes(count: number): Buffer;
  /** A number from 0 (included) to 1 (not included). For jitter only. */
  fraction(): number;
}

export const systemRandom: Random = {
  uuid: () => randomUUID(),
  bytes: (count) => randomBytes(count),
  fraction: () => randomBytes(4).readUInt32LE(0) / 0x1_0000_0000,
};
