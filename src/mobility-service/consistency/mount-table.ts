/**
 * The kernel's mount table, as far as freezing needs it: which superblock a mount id belongs to. Two mounts with the same
 * device number are one superblock (bind mounts, btrfs subvolumes): freezing it twice would answer EBUSY.
 */

export interface MountEntry {
  readonly mountId: number;
  /** Of the superblock, e.g. `8:1`; for btrfs, unlike `stat`, the same for all its subvolumes. */
  readonly device: string;
  readonly mountPoint: string;
  readonly fileSystemType: string;
  /** What was given to mount: `/dev/vda1`, of btrfs any one of its disks. */
  readonly source: string;
  /** Of this mount and of the superblock together. */
  readonly options: readonly string[];
}

/** Reads the text of `/proc/self/mountinfo`. Spaces, tabs, newlines and backslashes in paths are written there in octal. */
export function parseMountTable(text: string): MountEntry[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const dash = fields.indexOf('-', 6);
      return {
        mountId: Number(fields[0]),
        device: fields[2]!,
        mountPoint: unescapePath(fields[4]!),
        fileSystemType: fields[dash + 1]!,
        source: unescapePath(fields[dash + 2] ?? ''),
        options: [...fields[5]!.split(','), ...(fields[dash + 3] ?? '').split(',')],
      };
    });
}

/** Also of paths in `/proc/swaps`. */
export function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
