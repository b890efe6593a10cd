/** Pictures as SVG text: light, with axes, units and legends, readable without anything else. */

export interface Goal {
  readonly at: number
  readonly text: string
}
interface Common {
  readonly title: string
  /** What the vertical axis says, with its unit. */
  readonly y: string
  readonly log?: boolean
  readonly goals?: readonly Goal[]
}
export interface Bars extends Common {
  readonly groups: readonly string[]
  /** A bar of each series in each group; NaN: none. */
  readonly series: readonly { readonly name: string; readonly values: readonly number[] }[]
  /** A goal of each group's own. */
  readonly marks?: { readonly name: string; readonly values: readonly number[] }
}
export interface Lines extends Common {
  readonly x: string
  readonly logX?: boolean
  readonly series: readonly {
    readonly name: string
    readonly points: readonly (readonly [number, number])[]
  }[]
}

const WIDTH = 860
const HEIGHT = 400
const LEFT = 78
const RIGHT = 24
const TOP = 74
const BOTTOM = 62
const COLOURS = ['#1f6f8b', '#e07a1f', '#7a4fa3', '#4c8c3f', '#b5343c', '#666666']
const INK = '#222222'
const GRID = '#dddddd'
/** Of goals alone. */
const RED = '#c00000'

type Scale = (value: number) => number

export function bars(b: Bars): string {
  const values = b.series.flatMap((s) => s.values).filter((v) => v > 0)
  const { scale, ticks } = yAxis([...values, ...(b.goals ?? []).map((g) => g.at)], b.log === true)
  const wide = (WIDTH - LEFT - RIGHT) / b.groups.length
  const bar = (wide * 0.78) / b.series.length
  const floor = HEIGHT - BOTTOM
  const parts = b.groups.flatMap((group, g) => {
    const start = LEFT + g * wide + wide * 0.11
    const drawn = b.series.map((s, i) => {
      const value = s.values[g]!
      if (!(value > 0)) return ''
      const y = scale(value)
      const x = start + i * bar
      const label = text(x + bar / 2 - 1, y - 5, figure(value), { size: 11, anchor: 'middle' })
      return `<rect x="${n(x)}" y="${n(y)}" width="${n(bar - 2)}" height="${n(floor - y)}" fill="${COLOURS[i]}"/>${label}`
    })
    const mark = b.marks
      ? dashed(start - 4, start + wide * 0.78 + 2, scale(b.marks.values[g]!))
      : ''
    const name = text(LEFT + (g + 0.5) * wide, floor + 20, group, { size: 13, anchor: 'middle' })
    return [...drawn, mark, name]
  })
  const names = [...b.series.map((s) => s.name), ...(b.marks ? [b.marks.name] : [])]
  const inside = [grid(ticks, scale), ...parts, goalLines(b.goals, scale), floorLine()]
  const colourAt = (name: string, i: number) => (name === b.marks?.name ? RED : COLOURS[i]!)
  return frame(b, names, inside, colourAt)
}

export function lines(l: Lines): string {
  const all = l.series.flatMap((s) => s.points)
  const ys = [...all.map(([, y]) => y), ...(l.goals ?? []).map((g) => g.at)].filter((y) => y > 0)
  const { scale, ticks } = yAxis(ys, l.log === true)
  const xs = all.map(([x]) => x)
  const { scale: scaleX, ticks: ticksX } = xAxis(xs, l.logX === true)
  const floor = HEIGHT - BOTTOM
  const marks = ticksX.map((x) => {
    const at = n(scaleX(x))
    const tick = `<line x1="${at}" x2="${at}" y1="${floor}" y2="${floor + 5}" stroke="${INK}"/>`
    return tick + text(scaleX(x), floor + 19, figure(x), { size: 12, anchor: 'middle' })
  })
  const paths = l.series.map((s, i) => {
    const points = s.points.filter(([, y]) => y > 0)
    const d = points.map(([x, y], at) => `${at ? 'L' : 'M'}${n(scaleX(x))} ${n(scale(y))}`)
    const dash = s.name.includes('99th') ? ' stroke-dasharray="3 3"' : ''
    const width = dash ? 1.2 : 2.2
    if (points.length === 0) return ''
    return `<path d="${d.join('')}" fill="none" stroke="${colour(s.name, i, l)}" stroke-width="${width}"${dash}/>`
  })
  const label = text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, l.x, { size: 13, anchor: 'middle' })
  const names = l.series.map((s) => s.name)
  const inside = [grid(ticks, scale), ...paths, ...marks, label]
  return frame(l, names, [...inside, goalLines(l.goals, scale), floorLine()], (name, i) =>
    colour(name, i, l),
  )
}

/** A percentile's line has its model's colour. */
function colour(name: string, i: number, l: Lines): string {
  if (name.startsWith('goal')) return RED
  const model = name.split(',')[0]!
  const models = [...new Set(l.series.map((s) => s.name.split(',')[0]!))]
  return COLOURS[models.length < l.series.length ? models.indexOf(model) : i]!
}

function yAxis(values: readonly number[], log: boolean): { scale: Scale; ticks: number[] } {
  const most = Math.max(...values)
  const range: Scale = (part) => HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP)
  if (!log) {
    const ticks = steps(most)
    const top = ticks.at(-1)!
    return { scale: (v) => range(v / top), ticks }
  }
  const { from, to, ticks } = decades(Math.min(...values), most)
  return { scale: (v) => range((Math.log10(v) - from) / (to - from)), ticks }
}

function xAxis(values: readonly number[], log: boolean): { scale: Scale; ticks: number[] } {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  const range: Scale = (part) => LEFT + part * (WIDTH - RIGHT - LEFT)
  if (log) {
    const { from, to, ticks } = decades(least, most)
    return { scale: (v) => range((Math.log10(v) - from) / (to - from)), ticks }
  }
  const step = steps(most - least)[1]!
  const ticks: number[] = []
  for (let x = Math.ceil(least / step) * step; x <= most; x += step) ticks.push(x)
  return { scale: (v) => range((v - least) / (most - least)), ticks }
}

/** From 0 on, five or so, round. */
function steps(most: number): number[] {
  const raw = most / 5
  const ten = 10 ** Math.floor(Math.log10(raw))
  const step = ten * ([1, 2, 5, 10].find((s) => s * ten >= raw) ?? 10)
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step)
}

function decades(least: number, most: number): { from: number; to: number; ticks: number[] } {
  const from = Math.floor(Math.log10(least))
  const to = Math.max(from + 1, Math.ceil(Math.log10(most)))
  return { from, to, ticks: Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i)) }
}

function grid(ticks: readonly number[], scale: Scale): string {
  return ticks
    .map((tick) => {
      const y = n(scale(tick))
      const line = `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" stroke="${GRID}"/>`
      return line + text(LEFT - 8, scale(tick) + 4, figure(tick), { size: 12, anchor: 'end' })
    })
    .join('')
}

function goalLines(goals: readonly Goal[] | undefined, scale: Scale): string {
  return (goals ?? [])
    .map(({ at, text: what }) => {
      const line = dashed(LEFT, WIDTH - RIGHT, scale(at))
      return line + text(WIDTH - RIGHT - 4, scale(at) - 5, what, { anchor: 'end', fill: RED })
    })
    .join('')
}

function dashed(from: number, to: number, y: number): string {
  return `<line x1="${n(from)}" x2="${n(to)}" y1="${n(y)}" y2="${n(y)}" stroke="${RED}" stroke-width="1.5" stroke-dasharray="6 4"/>`
}

function floorLine(): string {
  const y = HEIGHT - BOTTOM
  return `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" stroke="${INK}"/>`
}

function frame(
  c: Common,
  names: readonly string[],
  parts: readonly string[],
  colourOf = (_name: string, i: number) => COLOURS[i]!,
): string {
  let x = LEFT
  const legend = names.map((name, i) => {
    const box = `<rect x="${n(x)}" y="44" width="13" height="13" fill="${colourOf(name, i)}"${name.includes('99th') ? ' opacity="0.45"' : ''}/>`
    const at = x + 19
    x = at + name.length * 7 + 15
    return box + text(at, 55, name, { size: 13 })
  })
  const middle = (TOP + HEIGHT - BOTTOM) / 2
  const yLabel = `<g transform="translate(18 ${middle}) rotate(-90)">${text(0, 0, c.y, { size: 13, anchor: 'middle' })}</g>`
  const title = text(LEFT, 26, c.title, { size: 16, bold: true })
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="Helvetica, Arial, sans-serif">`
  const ground = `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`
  return `${head}${ground}${title}${legend.join('')}${yLabel}${parts.join('')}</svg>\n`
}

function text(
  x: number,
  y: number,
  what: string,
  o: { size?: number; anchor?: string; fill?: string; bold?: boolean } = {},
): string {
  const { size = 12, anchor = 'start', fill = INK, bold = false } = o
  const weight = bold ? ' font-weight="bold"' : ''
  return `<text x="${n(x)}" y="${n(y)}" font-size="${size}" text-anchor="${anchor}" fill="${fill}"${weight}>${escaped(what)}</text>`
}

export function escaped(what: string): string {
  return what.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

const n = (value: number) => Number(value.toFixed(1))

/** Two or three digits that say something. */
function figure(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))} k`
  return size >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(size < 1 ? 2 : 3)))
}
