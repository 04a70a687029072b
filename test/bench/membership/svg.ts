/**
 * Charts as SVG text: lines, steps and dots on linear or logarithmic axes, panels side by side.
 *
 * Pure.
 */
export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
  readonly style: 'line' | 'dots'
}

export interface Axis {
  readonly label: string
  readonly logarithmic?: boolean
  /** Ends of the axis that the values do not give by themselves. */
  readonly from?: number
  readonly to?: number
}

export interface Panel {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
}

const WIDTH = 460
const HEIGHT = 320
const MARGIN = Object.freeze({ left: 68, right: 16, top: 34, bottom: 46 })
const TICKS = 5
/** Told apart by those who see red and green alike, too (Okabe and Ito). */
const COLORS: readonly string[] = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000']

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const round = (value: number): string => String(Math.round(value * 100) / 100)
const written = (value: number): string => (Math.round(value * 100) / 100).toLocaleString('en-US')

/** On a logarithmic axis: powers of ten, and twice and five times those. */
function logarithmicTicks (low: number, high: number): number[] {
  const powers = Array.from({ length: Math.ceil(Math.log10(high / low)) + 2 }, (_, i) => 10 ** (Math.floor(Math.log10(low)) + i))
  return powers.flatMap(power => [power, 2 * power, 5 * power]).filter(tick => tick >= low * 0.999 && tick <= high * 1.001)
}

/** Round numbers, about as many as TICKS. */
function linearTicks (low: number, high: number): number[] {
  const rough = (high - low) / TICKS
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find(factor => factor * power >= rough) ?? 10)
  const first = Math.ceil(low / step - 1e-9)
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step)
}

interface Scale {
  readonly ticks: readonly number[]
  (value: number): number
}

function scaleOf (axis: Axis, values: readonly number[], start: number, end: number): Scale {
  const logarithmic = axis.logarithmic ?? false
  const finite = values.filter(value => Number.isFinite(value) && (!logarithmic || value > 0))
  let low = axis.from ?? Math.min(...finite)
  let high = axis.to ?? Math.max(...finite)
  if (!Number.isFinite(low) || !Number.isFinite(high)) [low, high] = logarithmic ? [1, 10] : [0, 1]
  if (low === high) [low, high] = logarithmic ? [low / 2, high * 2] : [low - 1, high + 1]
  const place = logarithmic ? Math.log10 : (value: number): number => value
  const scale = (value: number): number => start + (end - start) * (place(value) - place(low)) / (place(high) - place(low))
  return Object.assign(scale, { ticks: (logarithmic ? logarithmicTicks : linearTicks)(low, high) })
}

function drawSeries ({ points, style }: Series, color: string, x: Scale, y: Scale): string {
  if (style === 'dots') {
    return points.map(([px, py]) => `<circle cx="${round(x(px))}" cy="${round(y(py))}" r="2" fill="${color}" fill-opacity="0.7"/>`).join('')
  }
  return `<polyline fill="none" stroke="${color}" stroke-width="1.6" points="${points.map(([px, py]) => `${round(x(px))},${round(y(py))}`).join(' ')}"/>`
}

function drawPanel ({ title, x, y, series }: Panel, offset: number): string {
  const left = offset + MARGIN.left
  const right = offset + WIDTH - MARGIN.right
  const bottom = HEIGHT - MARGIN.bottom
  const points = series.flatMap(({ points }) => points)
  const scaleX = scaleOf(x, points.map(([value]) => value), left, right)
  const scaleY = scaleOf(y, points.map(([, value]) => value), bottom, MARGIN.top)
  const parts = [`<text x="${(left + right) / 2}" y="18" text-anchor="middle" font-weight="bold">${escape(title)}</text>`]
  for (const tick of scaleX.ticks) {
    const at = round(scaleX(tick))
    parts.push(`<line x1="${at}" x2="${at}" y1="${MARGIN.top}" y2="${bottom}" stroke="#ddd"/><text x="${at}" y="${bottom + 16}" text-anchor="middle">${written(tick)}</text>`)
  }
  for (const tick of scaleY.ticks) {
    const at = round(scaleY(tick))
    parts.push(`<line x1="${left}" x2="${right}" y1="${at}" y2="${at}" stroke="#ddd"/><text x="${left - 6}" y="${Number(at) + 4}" text-anchor="end">${written(tick)}</text>`)
  }
  parts.push(`<rect x="${left}" y="${MARGIN.top}" width="${right - left}" height="${bottom - MARGIN.top}" fill="none" stroke="#444"/>`)
  series.forEach((one, index) => { parts.push(drawSeries(one, COLORS[index % COLORS.length]!, scaleX, scaleY)) })
  if (series.length > 1) {
    parts.push(`<rect x="${right - 134}" y="${MARGIN.top + 3}" width="130" height="${series.length * 15 + 4}" fill="white" fill-opacity="0.8"/>`)
  }
  series.forEach(({ name }, index) => {
    const at = MARGIN.top + 16 + index * 15
    const color = COLORS[index % COLORS.length]!
    if (series.length > 1) parts.push(`<rect x="${right - 128}" y="${at - 9}" width="10" height="10" fill="${color}"/><text x="${right - 113}" y="${at}">${escape(name)}</text>`)
  })
  parts.push(`<text x="${(left + right) / 2}" y="${HEIGHT - 10}" text-anchor="middle">${escape(x.label)}</text>`)
  parts.push(`<text transform="translate(${offset + 16} ${(MARGIN.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escape(y.label)}</text>`)
  return parts.join('\n')
}

/** One SVG document with the panels side by side. */
export function chart (panels: readonly Panel[]): string {
  const width = WIDTH * panels.length
  const body = panels.map((panel, index) => drawPanel(panel, index * WIDTH)).join('\n')
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${HEIGHT}" viewBox="0 0 ${width} ${HEIGHT}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="white"/>
${body}
</svg>
`
}
