/**
 * The patience with a subject that never answered yet, which every detector here has.
 *
 * A first probe has to wait for its connection, and after a view change many are opened at once. So long as the transport has not
 * said what came of it, the timeout is longer by one factor; once there is a connection, the first answer has still more time
 * than later ones, by the other.
 *
 * Pure.
 */

/** Times `probeTimeoutMs`, until the transport says what came of the first attempt to connect. */
export const UNCONNECTED_FACTOR = 20
/** Times `probeTimeoutMs`, from the first connection until the first answer. */
export const UNANSWERED_FACTOR = 8
