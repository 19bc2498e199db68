/** Says what is being waited for, at every moment: one line a step, renewed every second where somebody watches. */
export async function step<T>(
  title: string,
  work: (say: (detail: string) => void) => Promise<T>,
): Promise<T> {
  const startedAt = performance.now();
  let detail = '';
  let printed = '';
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);
  /** One that wraps could not be written over. */
  const line = (columns = Number.POSITIVE_INFINITY) => {
    const passed = ` (${seconds()} s)`;
    const text = `  ${title}${detail === '' ? '' : `: ${detail}`}`;
    return `${text.slice(0, columns - 1 - passed.length)}${passed}`;
  };
  const show = () => {
    if (process.stdout.isTTY) process.stdout.write(`\r\u001b[2K${line(process.stdout.columns || 80)}`);
    // Without a terminal: when something changed, and every 15 s so that silence never means hanging.
    else if (detail !== printed || seconds() % 15 === 0) console.log(line());
    printed = detail;
  };
  const timer = setInterval(show, 1000);
  try {
    const result = await work((said) => {
      detail = said;
    });
    clearInterval(timer);
    process.stdout.write(`${process.stdout.isTTY ? '\r\u001b[2K' : ''}✔ ${title} (${seconds()} s)\n`);
    return result;
  } catch (error) {
    process.stdout.write(`${process.stdout.isTTY ? '\r\u001b[2K' : ''}✘ ${title} (${seconds()} s)\n`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** A line of its own between the renewed ones. */
export function note(text: string): void {
  process.stdout.write(`${process.stdout.isTTY ? '\r\u001b[2K' : ''}    ${text}\n`);
}
