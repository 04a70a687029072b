/**
 * Stores that ask the leader whether a whole copy that they do not seem to need may go (leftover.ts), and when it may.
 *
 * Rules S5 and S6: once every member of the generation is level, durably, so that nobody needs what that copy has, a majority has confirmed
 * the ballot since, so that the generation goes on, and the store is wanted by nobody.
 *
 * Pure: a part of the leader.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { Leader } from './leader.ts'

/** Which question, and whether a round for its answer is under way. */
interface Question { readonly held: number, asked: boolean }

export class Releases {
  readonly #leader: Leader
  /** Questions that wait for their answer, by holder. */
  readonly #questions = new Map<StoreId, Question>()

  constructor (leader: Leader) {
    this.#leader = leader
  }

  get idle (): boolean { return this.#questions.size === 0 }

  /** A store asks whether a copy may go. It is answered as soon as that may, however much later; the holder repeats its question seldom. */
  asked (now: number, holder: StoreId, held: number): void {
    if (this.#questions.get(holder)?.held === held) return
    this.#questions.set(holder, { held, asked: false })
    this.progress(now)
  }

  /** Answers the holders whose copy may go. */
  progress (now: number): void {
    if (this.#questions.size === 0) return
    const { view } = this.#leader.replica
    for (const [holder, question] of this.#questions) {
      if (!view!.live.has(holder)) this.#questions.delete(holder)
      else if (!question.asked && this.#mayRelease(holder)) this.#confirm(holder, question)
    }
    this.#leader.flush(now)
  }

  #confirm (holder: StoreId, question: Question): void {
    const { confirmations, replica: { group, out } } = this.#leader
    const { generation } = group!
    question.asked = true
    confirmations.ask(() => {
      question.asked = false
      if (this.#questions.get(holder) !== question || !this.#mayRelease(holder)) return
      this.#questions.delete(holder)
      out.send(holder, { kind: 'release', generation, held: question.held })
    })
  }

  #mayRelease (holder: StoreId): boolean {
    const { handover, phase } = this.#leader
    return phase === 'serving' && !handover.wants(holder) && handover.allLevel()
  }

  /** The lead is over. @returns who waits for an answer */
  stop (): StoreId[] {
    const holders = [...this.#questions.keys()]
    this.clear()
    return holders
  }

  clear (): void {
    this.#questions.clear()
  }
}
