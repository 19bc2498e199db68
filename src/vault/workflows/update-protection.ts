/**
 * Update: what the client may change of a protected item without anything having to move.
 *
 *     Remember ─▶ Change
 */

import { errors } from '../errors.ts';
import type { Json, Step, Workflow } from '../jobs/workflow.ts';
import type { ItemChanges } from '../store/protected-items.ts';
import { UpdateProtectionInput } from './inputs.ts';
import type { WorkflowParts } from './parts.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = UpdateProtectionInput;
type Parts = Pick<WorkflowParts, 'items'>;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = ({ items }: Parts): readonly Step<Input>[] => [
  {
    name: 'Remember',
    title: 'Looking at what is there',
    where: 'database',
    do: async ({ input }) => {
      const item = await items.byId(input.id);
      if (!item) throw errors.ItemUnknown(input.id);
      return { friendlyName: item.friendlyName, settings: item.settings as Json };
    },
  },
  {
    name: 'Change',
    title: 'Changing the settings',
    where: 'database',
    do: async ({ input, outputs }) => {
      const { settings } = outputs.Remember as unknown as Required<Pick<ItemChanges, 'settings'>>;
      const merged = { ...settings, ...input.settings };
      for (const [name, value] of Object.entries(merged)) if (value === null) delete merged[name];
      await items.change(input.id, {
        settings: merged,
        ...(input.friendlyName === undefined ? {} : { friendlyName: input.friendlyName }),
      });
      return undefined;
    },
    undo: async ({ input, outputs }) => {
      await items.change(input.id, outputs.Remember as unknown as ItemChanges);
    },
  },
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function updateProtection(parts: Parts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'update-protection',
    scenarioName: 'UpdateVmProperties',
    friendlyName: 'Update the virtual machine',
    input: UpdateProtectionInput,
    steps: () => steps,
    cancelable: false,
  };
}
