/**
 * Stores that lost their power while they had acknowledged what was not synced (durability `'os'`): each is *doubted* in every partition.
 *
 * What such a store promised it still knows, since promises are synced. But entries that it acknowledged may be missing at the end of its log,
 * so that a majority with it may lack what a majority had. Therefore a doubted store promises like any other, and its history does not count for
 * finding what was acknowledged: of the others at least n - m + 1 must have sealed, with m the majority of the n members, which meet every
 * majority. Where so many are not left, all members must have sealed, doubted or not. Then nobody has more than is found: what is missing is
 * missing everywhere, and no store comes back later with another history.
 *
 * A store is doubted until it has everything again: until it has logged, synced, an entry of the ballot of a leader that knows of its new
 * process, and everything that this leader knows to be committed. The entries of that ballot come after all that was acknowledged under
 * earlier ones; and what the leader counted of the old process, it knows to be committed. In a generation that it had not taken up before
 * it has acknowledged nothing, and is not doubted.
 *
 * Pure.
 */
import { majorityOf } from './history.ts'

/** Whether these members' promises, and histories, are enough to lead with in a group of so many. */
export function suffices (sealed: Iterable<{ readonly doubted?: true }>, members: number): boolean {
  const majority = majorityOf(members)
  let [all, sure] = [0, 0]
  for (const { doubted } of sealed) {
    all++
    if (doubted !== true) sure++
  }
  return all === members || (all >= majority && sure > members - majority)
}
