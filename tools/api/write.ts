/**
 * Writes what is made from the description of the API: types, OpenAPI document, table of operations. Run by `make api`;
 * a test fails where a file differs from what this writes.
 *
 *     src/protocol/arm/description/*.json ─┬▶ src/protocol/arm/models.ts
 *                                          ├▶ docs/api/openapi.json
 *            src/vault/api/refused.ts ─────┴▶ docs/api/operations.md
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { generatedFiles } from './generate.ts';

const root = join(import.meta.dirname, '..', '..');
for (const { path, text } of await generatedFiles()) {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
  process.stdout.write(`${path}\n`);
}
