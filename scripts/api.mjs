/**
 * The reference of the package's two doors, docs/api.md, from the declarations that the compiler writes (dist/, one
 * declaration an item, each with its docstring above it). `--check` writes nothing and fails where it is out of date.
 * A public name without a docstring is an error.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { root } from './setup.mjs'

const doors = [
  ['rehome-nf', 'index.d.ts', 'What an NF is written with.'],
  ['rehome-nf/testing', 'test/kit/index.d.ts', 'What an NF is tested with, and Rehome itself.'],
]
const out = path.join(root, 'docs', 'api.md')

const files = new Map()

/** The file's items by name: declarations, and names that it passes on from another file. */
function itemsOf(file) {
  const known = files.get(file)
  if (known) return known
  const items = new Map()
  files.set(file, items)
  let doc = ''
  const rows = fs.readFileSync(path.join(root, 'dist', file), 'utf8').split('\n')
  for (let at = 0; at < rows.length; ) {
    const start = at++
    // What belongs to the item is indented, but for a closing bracket or the end of a comment.
    while (at < rows.length && /^( |\}|\) )/.test(rows[at])) at++
    const text = rows.slice(start, at).join('\n')
    if (text.startsWith('/**')) {
      doc = textOf(text)
      continue
    }
    add(items, file, text, doc)
    doc = ''
  }
  return items
}

function add(items, file, text, doc) {
  const from = /^export (.*) from '(\.[^']*)\.(?:ts|js)';$/s.exec(text)
  if (from) {
    const target = path.posix.join(path.posix.dirname(file), `${from[2]}.d.ts`)
    const whole = /^\* as (\w+)$/.exec(from[1])
    if (whole) items.set(whole[1], { doc, text: `export * as ${whole[1]}`, target })
    else if (from[1] === '*') for (const [name, item] of itemsOf(target)) items.set(name, item)
    else passOn(items, itemsOf(target), from[1])
    return
  }
  const named =
    /^export (?:declare )?(?:abstract )?(?:function|const|class|interface|type) (\w+)/.exec(text)
  if (named) items.set(named[1], { doc, text: withoutPrivate(text) })
}

function passOn(items, there, list) {
  for (const part of list.replace(/^(type )?\{|\}$/g, '').split(',')) {
    const [name, as = name] = part
      .replace(/^\s*type /, '')
      .trim()
      .split(' as ')
    if (name) items.set(as, there.get(name))
  }
}

/** What is private is nobody's to use; its docstring goes with it. */
function withoutPrivate(text) {
  const member = /\n( {4}\/\*\*(?:(?!\*\/)[\s\S])*?\*\/\n)? {4}(?:private|#)[^\n]*;(?=\n)/g
  return `\n${text}`.replace(member, '').trim()
}

/** A docstring's text, without its stars. */
function textOf(comment) {
  const inner = comment.replace(/^\/\*\*/, '').replace(/\*\/\s*$/, '')
  return inner.replace(/^ *\* ?/gm, '').trim()
}

const missing = []

function section(name, { doc, text, target }, door) {
  if (doc === '') missing.push(`${door}: ${name}`)
  const code = text.replace(/^export (declare )?/, '')
  const names = target ? [...itemsOf(target).keys()].map((n) => `\`${n}\``).join(', ') : ''
  const shown = target ? `Holds ${names}.` : `\`\`\`ts\n${code}\n\`\`\``
  return `### ${name}\n\n${doc}\n\n${shown}\n`
}

function page() {
  const parts = doors.map(([door, file, what]) => {
    const items = [...itemsOf(file)].sort(([a], [b]) =>
      a.toLowerCase() < b.toLowerCase() ? -1 : 1,
    )
    const index = items.map(([name]) => `[${name}](#${anchor(name)})`).join(' · ')
    const sections = items.map(([name, item]) => section(name, item, door))
    return `## \`${door}\`\n\n${what}\n\n${index}\n\n${sections.join('\n')}`
  })
  const head = `# What you can import

Made from the docstrings by \`npm run api\`. Sizes are in bytes and packet times in µs unless a name says otherwise; errors are \`RehomeError\`s with the code that is named.
`
  return `${head}\n${parts.join('\n')}`
}

/** As the usual viewers of Markdown make it of a heading; the second of one name gets a number. */
const anchors = new Map()
function anchor(name) {
  const plain = name.toLowerCase()
  const count = anchors.get(plain) ?? 0
  anchors.set(plain, count + 1)
  return count === 0 ? plain : `${plain}-${count}`
}

const text = page()
if (missing.length > 0) {
  process.stderr.write(`no docstring:\n${missing.join('\n')}\n`)
  process.exit(1)
}
if (!process.argv.includes('--check')) {
  fs.mkdirSync(path.dirname(out), { recursive: true })
  fs.writeFileSync(out, text)
} else if (!fs.existsSync(out) || fs.readFileSync(out, 'utf8') !== text) {
  process.stderr.write('docs/api.md is not what the docstrings say: npm run api\n')
  process.exit(1)
}
