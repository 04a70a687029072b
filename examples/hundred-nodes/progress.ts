/**
 * Says what goes on while it goes on: one line per step that renews itself on a terminal, plain lines elsewhere.
 *
 * Owns the line of the terminal between `step()` and `done()`, and one timer.
 */
export interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
  write (text: string): unknown
}

const RENEW_MS = 100

export class Progress {
  readonly #output: Output
  readonly #startedMs = performance.now()
  #text: (() => string) | undefined
  #timer: NodeJS.Timeout | undefined

  constructor (output: Output) {
    this.#output = output
  }

  /** Begins a step. On a terminal `text` is asked anew ten times a second. */
  step (text: () => string): void {
    this.#finish()
    if (this.#output.isTTY !== true) {
      this.say(`${text()} ...`)
      return
    }
    this.#text = text
    this.#renew()
    this.#timer = setInterval(() => { this.#renew() }, RENEW_MS)
  }

  /** Ends the step with a line that stays. */
  done (text: string): void {
    this.#finish()
    this.say(text)
  }

  /** A line that stays; the step goes on below it. */
  say (text: string): void {
    this.#erase()
    this.#output.write(`${this.#elapsed()} ${text}\n`)
    this.#renew()
  }

  /** Lines without a time. */
  print (text: string): void {
    this.#finish()
    this.#output.write(`${text}\n`)
  }

  close (): void {
    this.#finish()
  }

  #elapsed (): string {
    return `${((performance.now() - this.#startedMs) / 1000).toFixed(1).padStart(6)} s `
  }

  #renew (): void {
    if (this.#text === undefined) return
    this.#erase()
    // A line that wraps could not be erased.
    this.#output.write(`${this.#elapsed()} ${this.#text()}`.slice(0, (this.#output.columns ?? 80) - 1))
  }

  #erase (): void {
    if (this.#text !== undefined) this.#output.write('\r\u001b[K')
  }

  #finish (): void {
    clearInterval(this.#timer)
    this.#erase()
    this.#text = undefined
  }
}
