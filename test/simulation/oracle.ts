/**
 * The oracle: byte equality at every bookmark, and nothing else that would need to know how a house works inside.
 *
 * A bookmark is seen when its frame goes into a link: from then on the machine (its disks, with the memory of all that was
 * ever on them) and the moment are known. A recovery point is judged in the moment in which the vault records it: there
 * must be one moment, not after the bookmark was sent and not before the machine's clock showed the date it bears, at which
 * pulling the plug of the source would have left exactly these bytes on all its disks. The same bytes must be there at every later look
 * until retention drops the point.
 *
 * This covers more than it says: a session that was fenced and still wrote, a range that was acknowledged and lost, a
 * bookmark in the wrong place, all leave bytes that were on no disk of that machine at any one moment.
 */
import { createHash } from 'node:crypto';
import type { Timeline } from '../support/simulated/clock.ts';
import { SimulatedDisk } from '../support/simulated/disk.ts';
import type { Machine } from './machine.ts';

interface SeenBookmark {
  readonly machine: Machine;
  /** When the machine read its date from its clock. */
  readonly takenMoment: number;
  readonly sentMoment: number;
  /** Disks that it says are not in it. */
  readonly without: readonly number[];
}

interface JudgedPoint {
  readonly itemId: string;
  readonly digest: string;
}

export class Oracle {
  readonly #timeline: Timeline;
  readonly #report: (failure: string) => void;
  readonly #bookmarks = new Map<string, SeenBookmark>();
  readonly #points = new Map<string, JudgedPoint>();
  judged = 0;
  looks = 0;

  constructor(timeline: Timeline, report: (failure: string) => void) {
    this.#timeline = timeline;
    this.#report = report;
  }

  /** A bookmark's frame goes out; only the first sending counts. */
  sawBookmark(
    machine: Machine,
    bookmark: { readonly bookmarkId: string; readonly takenAt: string },
    without: readonly number[],
  ): void {
    if (this.#bookmarks.has(bookmark.bookmarkId)) return;
    const takenMoment = machine.wall.momentOf(Date.parse(bookmark.takenAt));
    if (takenMoment === undefined) {
      this.#report(
        `${machine.name}'s clock never showed ${bookmark.takenAt}, the date of ${bookmark.bookmarkId}`,
      );
      return;
    }
    const sentMoment = this.#timeline.moment;
    this.#bookmarks.set(bookmark.bookmarkId, { machine, takenMoment, sentMoment, without });
  }

  /** Whether the point has every disk of its machine. */
  isWhole(pointId: string): boolean {
    return this.#bookmarks.get(pointId)?.without.length === 0;
  }

  hasSeen(bookmarkId: string): boolean {
    return this.#bookmarks.has(bookmarkId);
  }

  /** When the vault has recorded a recovery point. */
  judge(itemId: string, pointId: string, content: readonly (Buffer | undefined)[]): void {
    if (this.#points.has(pointId)) return;
    this.judged++;
    this.#points.set(pointId, { itemId, digest: digestOf(content) });
    const bookmark = this.#bookmarks.get(pointId);
    if (!bookmark) {
      this.#report(`recovery point ${pointId} has no bookmark that anybody sent`);
      return;
    }
    const { machine, without } = bookmark;
    const lacking = content.findIndex((disk, index) => !disk && !without.includes(index));
    if (lacking >= 0 || content.length !== machine.disks.length) {
      this.#report(`recovery point ${pointId} lacks disk ${lacking} of ${machine.disks.length}`);
      return;
    }
    if (without.length === content.length) {
      this.#report(`recovery point ${pointId} is of no disk at all`);
      return;
    }
    const window = { from: bookmark.takenMoment, to: bookmark.sentMoment };
    let combinations: { disk: SimulatedDisk; content: Buffer }[][] = [[]];
    // Mostly one: a disk that took another's place within the window makes two.
    for (const [index, disks] of machine.truths(window).entries())
      if (!without.includes(index))
        combinations = combinations.flatMap((images) =>
          disks.map((disk) => [...images, { disk, content: content[index]! }]),
        );
    let blame = 'there was no such disk';
    for (const images of combinations)
      if (SimulatedDisk.legalMoments(images, window, (why) => (blame = why)).length > 0) return;
    this.#report(
      `recovery point ${pointId} of ${machine.name} is no state that its disks were in between the moments ${window.from} and ${window.to}: ${blame}`,
    );
  }

  /** At any later time: the point must have the same bytes as when it was judged. */
  look(pointId: string, content: readonly (Buffer | undefined)[]): void {
    const judged = this.#points.get(pointId);
    if (!judged) return;
    this.looks++;
    if (content.every((disk) => !disk))
      this.#report(`recovery point ${pointId} is recorded but its disks are gone`);
    else if (digestOf(content) !== judged.digest) this.#report(`recovery point ${pointId} has changed`);
  }
}

function digestOf(content: readonly (Buffer | undefined)[]): string {
  const hash = createHash('sha256');
  for (const disk of content) hash.update(disk ?? 'none');
  return hash.digest('hex');
}
