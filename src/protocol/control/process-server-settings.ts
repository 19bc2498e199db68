/**
 * The process server's settings file, `process-server.json`: written whole by `process-server enrol`, read by the
 * process server at start.
 */
import { z } from 'zod';
import { CacheTarget, TlsFiles } from './assignment.ts';

export const ProcessServerSettings = z.strictObject({
  listen: z.strictObject({
    host: z.string().default('0.0.0.0'),
    /** 9443, as in the reference system; 0 takes a free one. */
    port: z.number().int().min(0).max(65535).default(9443),
  }),
  /** Status and metrics over plain HTTP; loopback only, since they name machines. */
  statusPort: z.number().int().min(0).max(65535).default(9444),
  tls: TlsFiles,
  spool: z.strictObject({
    folder: z.string().startsWith('/'),
    quotaBytes: z.number().int().positive(),
    /** Of one machine; default: the whole. */
    itemQuotaBytes: z.number().int().positive().optional(),
  }),
  /** `folder`: cache storage that is mounted here. */
  cache: z.union([
    CacheTarget,
    z.strictObject({ type: z.literal('folder'), folder: z.string().startsWith('/') }),
  ]),
  /** One `<itemId>.json` (`ProcessServerAssignment`) an item; read again on SIGHUP and when it changes. */
  itemsFolder: z.string().startsWith('/'),
  codecWorkers: z.number().int().min(1).max(64).default(2),
  /** A part of the journal is closed this long after its first frame. */
  partSeconds: z.number().positive().max(600).default(5),
  /** Of a process server that is enrolled at a configuration server: keys, certificates and assignments are in this folder,
   * and whom it serves is the site's to say. Without it assignments are written by hand. */
  site: z.strictObject({ folder: z.string().startsWith('/') }).optional(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});
export type ProcessServerSettings = z.infer<typeof ProcessServerSettings>;
