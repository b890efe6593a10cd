/**
 * Pictures as SVG text, readable by themselves and without a network: axes with units, legends, goals. Colours follow
 * the reader's light or dark theme, also where a page shows the file as an image.
 */

export interface Goal {
  readonly at: number
  readonly text: string
}
/** What a bar shows: a middle, and how far the measured values went. */
export interface Spread {
  readonly middle: number
  readonly least: number
  readonly most: number
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
  /** A bar of each series in each group; undefined: none. */
  readonly series: readonly {
    readonly name: string
    readonly values: readonly (Spread | undefined)[]
  }[]
  /** A goal of each group's own; NaN: none. */
  readonly marks?: { readonly name: string; readonly values: readonly number[] }
}
export interface Lines extends Common {
  readonly x: string
  readonly logX?: boolean
  readonly series: readonly {
    readonly name: string
    readonly points: readonly (readonly [number, number])[]
  }[]
  /** Stretches of the horizontal axis that have a name. */
  readonly bands?: readonly {
    readonly from: number
    readonly to: number
    readonly text: string
  }[]
}

const WIDTH = 860
const PLOT = 290
const LEFT = 76
const RIGHT = 22
const BOTTOM = 58
const LEGEND_TOP = 50
const LEGEND_LINE = 20
/** Width of a letter at 13 px, as good as one can tell without a font. */
const LETTER = 6.9

/** Light, dark: six series, told apart by those who see few colours as well. */
const COLOURS = [
  ['#0b62c4', '#58a6ff'],
  ['#3f8f4f', '#56c271'],
  ['#d9730d', '#f0a24b'],
  ['#8a3fb0', '#c792ea'],
  ['#6b7280', '#9aa4b2'],
  ['#a8324a', '#f08aa0'],
] as const
/** What has a colour of its own wherever it is. */
const FIXED = ['shared', 'local-only', 'remote-only', 'stop-and-sync', 'bare loop']

const themed = (selector: string, rule: string, [light, dark]: readonly [string, string]) => ({
  light: `${selector}{${rule.replaceAll('$', light)}}`,
  dark: `${selector}{${rule.replaceAll('$', dark)}}`,
})
const rules = [
  themed('.bg', 'fill:$', ['#ffffff', '#0d1117']),
  themed('.ink', 'fill:$', ['#1f2328', '#e6edf3']),
  themed('.dim', 'fill:$', ['#59636e', '#9aa4b2']),
  themed('.grid', 'stroke:$', ['#e3e7eb', '#252c35']),
  themed('.axis', 'stroke:$', ['#59636e', '#9aa4b2']),
  themed('.whisker', 'stroke:$;opacity:.7', ['#1f2328', '#f0f3f6']),
  themed('.band', 'fill:$', ['#f2f5f8', '#171d26']),
  themed('.goal', 'stroke:$', ['#c00020', '#ff7b72']),
  themed('.told', 'fill:$', ['#c00020', '#ff7b72']),
  themed('.halo', 'stroke:$', ['#ffffff', '#0d1117']),
  ...COLOURS.flatMap((both, i) => [
    themed(`.f${i}`, 'fill:$', both),
    themed(`.l${i}`, 'stroke:$;fill:none', both),
  ]),
]
const STYLE = `${rules.map((rule) => rule.light).join('')}.halo{paint-order:stroke;stroke-width:4;stroke-linejoin:round}@media(prefers-color-scheme:dark){${rules.map((rule) => rule.dark).join('')}}`

type Scale = (value: number) => number
interface Axis {
  readonly scale: Scale
  readonly ticks: readonly number[]
}
/** Where the plot stands: below a legend of one line or more. */
interface Place {
  readonly top: number
  readonly floor: number
}

export function bars(b: Bars): string {
  const names = [...b.series.map((s) => s.name), ...(b.marks ? [b.marks.name] : [])]
  const place = placeBelow(names)
  const values = b.series.flatMap((s) => s.values).filter((v) => v !== undefined)
  const marked = (b.marks?.values ?? []).filter((v) => v > 0)
  // Beneath the least one, so that its bar is one on a log scale.
  const floor = Math.min(...values.map((v) => v.middle)) * 0.6
  const all = [floor, ...values.flatMap((v) => [v.least, v.most]), ...marked, ...goalsAt(b)]
  const y = yAxis(all, b.log === true, place)
  const wide = (WIDTH - LEFT - RIGHT) / b.groups.length
  const inner = wide * 0.8
  const bar = Math.min(58, inner / b.series.length)
  const parts = b.groups.flatMap((group, g) => {
    const middle = LEFT + (g + 0.5) * wide
    const start = middle - (bar * b.series.length) / 2
    const drawn = b.series.map((s, i) => {
      const value = s.values[g]
      return value ? oneBar(value, start + i * bar, bar, y.scale, place, indexOf(s.name, i)) : ''
    })
    const goal = b.marks?.values[g] ?? Number.NaN
    const end = start + bar * b.series.length
    const mark = goal > 0 ? dashed(start - 5, end + 3, y.scale(goal)) : ''
    const name = text(middle, place.floor + 20, group, { size: 13, anchor: 'middle' })
    return [...drawn, mark, name]
  })
  return frame(b, names, place, [grid(y, place), ...parts, goalLines(b, y.scale), floorLine(place)])
}

function oneBar(v: Spread, x: number, bar: number, y: Scale, place: Place, colour: number): string {
  const top = y(v.middle)
  const middle = x + bar / 2
  const rect = `<rect x="${n(x + 1)}" y="${n(top)}" width="${n(bar - 2)}" height="${n(place.floor - top)}" rx="2" class="f${colour}"/>`
  const [low, high] = [y(v.least), y(v.most)]
  const ends = [low, high].map(
    (at) =>
      `<line x1="${n(middle - 4)}" x2="${n(middle + 4)}" y1="${n(at)}" y2="${n(at)}" class="whisker"/>`,
  )
  const whisker = `<line x1="${n(middle)}" x2="${n(middle)}" y1="${n(low)}" y2="${n(high)}" class="whisker"/>${ends.join('')}`
  const spread = v.most > v.least ? whisker : ''
  const label = text(middle, top - 5, figure(v.middle), {
    size: 11,
    anchor: 'middle',
    halo: true,
  })
  return rect + spread + label
}

export function lines(l: Lines): string {
  const names = l.series.map((s) => s.name)
  const place = placeBelow(names)
  const all = l.series.flatMap((s) => s.points)
  const ys = [...all.map(([, y]) => y), ...goalsAt(l)].filter((y) => y > 0)
  const y = yAxis(ys, l.log === true, place)
  const x = xAxis([...new Set(all.map(([at]) => at))], l.logX === true)
  const marks = x.ticks.map((tick) => {
    const at = n(x.scale(tick))
    const mark = `<line x1="${at}" x2="${at}" y1="${place.floor}" y2="${place.floor + 5}" class="axis"/>`
    return mark + text(x.scale(tick), place.floor + 19, figure(tick), { anchor: 'middle' })
  })
  const paths = l.series.map((s, i) => path(s.points, x.scale, y.scale, colourOf(l, i), s.name))
  const label = text((LEFT + WIDTH - RIGHT) / 2, place.floor + 42, l.x, {
    size: 13,
    anchor: 'middle',
  })
  const bands = (l.bands ?? []).map((band) => {
    const [from, to] = [x.scale(band.from), x.scale(band.to)]
    const ground = `<rect x="${n(from)}" y="${place.top}" width="${n(to - from)}" height="${PLOT}" class="band"/>`
    return (
      ground + text((from + to) / 2, place.top + 15, band.text, { anchor: 'middle', dim: true })
    )
  })
  const inside = [...bands, grid(y, place), ...paths, ...marks, label, goalLines(l, y.scale)]
  return frame(l, names, place, [...inside, floorLine(place)], (_, i) => colourOf(l, i))
}

/** Few points are marked, many are a line alone; a percentile's line is thin. */
function path(
  points: Lines['series'][number]['points'],
  x: Scale,
  y: Scale,
  colour: number,
  name: string,
): string {
  const shown = points.filter(([, value]) => value > 0)
  const d = shown.map(([at, value], i) => `${i ? 'L' : 'M'}${n(x(at))} ${n(y(value))}`).join('')
  const thin = isThin(name)
    ? ' stroke-width="1.1" stroke-dasharray="4 3" opacity="0.7"'
    : ' stroke-width="2.2"'
  if (isGoalName(name)) return `<path d="${d}" class="goal" fill="none" ${DASHES}/>`
  const line = `<path d="${d}" class="l${colour}"${thin} stroke-linejoin="round"/>`
  if (shown.length > 12) return line
  const dots = shown.map(
    ([at, value]) => `<circle cx="${n(x(at))}" cy="${n(y(value))}" r="4" class="f${colour}"/>`,
  )
  return line + dots.join('')
}

const DASHES = 'stroke-width="1.8" stroke-dasharray="6 4"'
const isGoalName = (name: string) => name.startsWith('goal')
const isThin = (name: string) => name.includes('99th')

/** A percentile's line has its model's colour. */
function colourOf(l: Lines, i: number): number {
  const model = (name: string) => name.split(', ')[0]!
  const models = [...new Set(l.series.map((s) => model(s.name)))]
  return indexOf(model(l.series[i]!.name), models.indexOf(model(l.series[i]!.name)))
}
function indexOf(name: string, otherwise: number): number {
  const fixed = FIXED.indexOf(name)
  return fixed < 0 ? otherwise % COLOURS.length : fixed
}

const goalsAt = (c: Common) => (c.goals ?? []).map((goal) => goal.at)

// ---- axes ----

function yAxis(values: readonly number[], log: boolean, { top, floor }: Place): Axis {
  const range: Scale = (part) => floor - part * (floor - top)
  const most = Math.max(...values)
  if (!log) {
    const ticks = steps(most * 1.04)
    const end = ticks.at(-1)!
    return { scale: (v) => range(v / end), ticks }
  }
  const least = Math.min(...values)
  const wide = most / least > 300
  const ticks = wide ? decades(least, most, [1]) : decades(least, most, [1, 2, 5])
  const [from, to] = [Math.log10(ticks[0]!), Math.log10(ticks.at(-1)!)]
  return { scale: (v) => range((Math.log10(v) - from) / (to - from)), ticks }
}

function xAxis(values: readonly number[], log: boolean): Axis {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  const [from, to] = [LEFT + 12, WIDTH - RIGHT - 12]
  if (log) {
    const [a, b] = [Math.log10(least), Math.log10(most)]
    const scale: Scale = (v) => from + ((Math.log10(v) - a) / (b - a || 1)) * (to - from)
    const all = decades(least, most, [1, 2, 5]).filter((tick) => tick >= least && tick <= most)
    return { scale, ticks: values.length <= 8 ? values : all }
  }
  const step = steps(most - least)[1]!
  const ticks: number[] = []
  for (let x = Math.ceil(least / step) * step; x <= most; x += step) ticks.push(x)
  return { scale: (v) => from + ((v - least) / (most - least)) * (to - from), ticks }
}

/** From 0 on, five or so, round. */
function steps(most: number): number[] {
  const raw = most / 5
  const ten = 10 ** Math.floor(Math.log10(raw))
  const step = ten * ([1, 2, 5, 10].find((s) => s * ten >= raw) ?? 10)
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step)
}

/** Multiples of powers of ten, the first at or below the least value and the last at or above the most. */
function decades(least: number, most: number, multiples: readonly number[]): number[] {
  const all: number[] = []
  for (let ten = Math.floor(Math.log10(least)); ten <= Math.ceil(Math.log10(most)); ten++) {
    for (const m of multiples) all.push(m * 10 ** ten)
  }
  const first = all.findLastIndex((tick) => tick <= least * 1.0001)
  const last = all.findIndex((tick) => tick >= most)
  const ticks = all.slice(Math.max(0, first), last < 0 ? undefined : last + 1)
  return ticks.length > 1 ? ticks : [ticks[0]!, ticks[0]! * 10]
}

function grid({ scale, ticks }: Axis, { top }: Place): string {
  return ticks
    .map((tick) => {
      const at = Math.max(top, scale(tick))
      const line = `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${n(at)}" y2="${n(at)}" class="grid"/>`
      return line + text(LEFT - 8, at + 4, figure(tick), { anchor: 'end' })
    })
    .join('')
}

function goalLines(c: Common, scale: Scale): string {
  return (c.goals ?? [])
    .map(({ at, text: what }) => {
      const y = scale(at)
      const label = text(WIDTH - RIGHT - 4, y - 6, what, { anchor: 'end', told: true, halo: true })
      return dashed(LEFT, WIDTH - RIGHT, y) + label
    })
    .join('')
}

function dashed(from: number, to: number, y: number): string {
  return `<line x1="${n(from)}" x2="${n(to)}" y1="${n(y)}" y2="${n(y)}" class="goal" ${DASHES}/>`
}

function floorLine({ floor }: Place): string {
  return `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${floor}" y2="${floor}" class="axis"/>`
}

// ---- frame ----

interface Entry {
  readonly name: string
  readonly x: number
  readonly line: number
}

/** A legend's names, on as many lines as they need. */
function laidOut(names: readonly string[]): Entry[] {
  let [x, line] = [LEFT, 0]
  return names.map((name) => {
    const wide = 19 + name.length * LETTER + 16
    if (x > LEFT && x + wide > WIDTH - RIGHT) {
      x = LEFT
      line++
    }
    const entry = { name, x, line }
    x += wide
    return entry
  })
}

function placeBelow(names: readonly string[]): Place {
  const last = laidOut(names).at(-1)?.line ?? 0
  const top = LEGEND_TOP + (last + 1) * LEGEND_LINE + 12
  return { top, floor: top + PLOT }
}

function frame(
  c: Common,
  names: readonly string[],
  place: Place,
  parts: readonly string[],
  colour: (name: string, i: number) => number = indexOf,
): string {
  const height = place.floor + BOTTOM
  const legend = laidOut(names).map(({ name, x, line }, i) => {
    const y = LEGEND_TOP + line * LEGEND_LINE - 11
    const isGoal = isGoalName(name)
    const fill = isGoal ? '' : `<rect x="${n(x)}" y="${y}" width="13" height="13" rx="2"`
    const shown = isThin(name)
      ? `<line x1="${n(x)}" x2="${n(x + 13)}" y1="${y + 7}" y2="${y + 7}" class="l${colour(name, i)}" stroke-width="1.5" stroke-dasharray="4 3"/>`
      : `${fill} class="f${colour(name, i)}"/>`
    const sign = isGoal ? dashed(x, x + 14, y + 7) : shown
    return sign + text(x + 19, y + 11, name, { size: 13 })
  })
  const middle = (place.top + place.floor) / 2
  const yLabel = `<g transform="translate(18 ${middle}) rotate(-90)">${text(0, 0, c.y, { size: 13, anchor: 'middle' })}</g>`
  const title = text(LEFT, 24, c.title, { size: 16, bold: true })
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="Helvetica, Arial, sans-serif" role="img">`
  const ground = `<rect width="${WIDTH}" height="${height}" class="bg"/>`
  return `${head}<title>${escaped(c.title)}</title><style>${STYLE}</style>${ground}${title}${legend.join('')}${yLabel}${parts.join('')}</svg>\n`
}

function text(
  x: number,
  y: number,
  what: string,
  o: {
    size?: number
    anchor?: string
    bold?: boolean
    dim?: boolean
    told?: boolean
    halo?: boolean
  } = {},
): string {
  const { size = 12, anchor = 'start', bold = false, dim = false, told = false, halo = false } = o
  const weight = bold ? ' font-weight="bold"' : ''
  const ink = told ? 'told' : dim ? 'dim' : 'ink'
  return `<text x="${n(x)}" y="${n(y)}" font-size="${size}" text-anchor="${anchor}" class="${ink}${halo ? ' halo' : ''}"${weight}>${escaped(what)}</text>`
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
