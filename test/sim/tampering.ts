/**
 * A transport between a process and its network that a test can listen at, and where it can change or drop messages of membership.
 *
 * For faults that chance would take long to hit on: exactly the first answer is lost, a process speaks another version.
 */
import { CHANNELS, type Channel, type Transport } from '../../membership/environment/environment.ts'
import type { MembershipMessage } from '../../membership/messages.ts'

export interface Tampering {
  /** What the process is given instead of a message that arrived; undefined for nothing. */
  readonly incoming?: (message: MembershipMessage) => unknown
  /** What the network is given instead of a message that the process sends, answers left aside; undefined for nothing. */
  readonly outgoing?: (message: MembershipMessage) => unknown
}

const unchanged = (message: MembershipMessage): unknown => message

export function tampered (transport: Transport, { incoming = unchanged, outgoing = unchanged }: Tampering): Transport {
  const change = (channel: Channel, message: unknown): unknown => channel === CHANNELS.membership ? outgoing(message as MembershipMessage) : message
  return {
    get address () { return transport.address },
    start: () => transport.start(),
    send (to, channel, message, stream) {
      const changed = change(channel, message)
      if (changed !== undefined) transport.send(to, channel, changed, stream)
    },
    sendToAll (to, channel, message) {
      const changed = change(channel, message)
      if (changed !== undefined) transport.sendToAll(to, channel, changed)
    },
    receive (channel, receiver) {
      transport.receive(channel, (message, from) => {
        const changed = channel === CHANNELS.membership ? incoming(message as MembershipMessage) : message
        if (changed !== undefined) receiver(changed, from)
      })
    },
    onLink: listener => transport.onLink(listener),
    isBusy: (to, channel, stream) => transport.isBusy(to, channel, stream),
    queuedBytes: to => transport.queuedBytes(to),
    connect: to => { transport.connect(to) },
    close: () => transport.close()
  }
}
