/** Logs: one event = one name + ids. JSON on standard output, for journald. Secrets never come here. */
import pino from 'pino';

export type LogFields = Readonly<Record<string, unknown>>;

/** error = somebody must act; warn = degraded; info = a state changed; debug = everything else. */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  with(fields: LogFields): Log;
}

function wrap(logger: pino.Logger): Log {
  return {
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    error: (event, fields) => logger.error(fields ?? {}, event),
    with: (fields) => wrap(logger.child(fields)),
  };
}

/** @param level one of debug, info, warn, error */
export function createLog(name: string, level = 'info'): Log {
  return wrap(
    pino({
      name,
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'event',
      // `error` fields keep their causes, as text, once.
      serializers: { error: pino.stdSerializers.errWithCause },
    }),
  );
}

export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  with: () => silentLog,
};
