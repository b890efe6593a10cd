import * as path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import * as rules from './tidy-rules.ts'
import { functionsOf, parseSource, readTree, type Source } from './tidy-source.ts'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')

/** Files and functions over the house figures, each with its reason. */
const LARGE: readonly rules.Allowance[] = []

const perSource = {
  importsRunDownwards: rules.importsRunDownwards,
  foldersAreEnteredByTheirDoor: rules.foldersAreEnteredByTheirDoor,
  noCyclesBetweenFolders: rules.noCyclesBetweenFolders,
  importsNameTheirFile: rules.importsNameTheirFile,
  everyFileIsUsed: rules.everyFileIsUsed,
  everyExportIsUsed: rules.everyExportIsUsed,
  filesAndFunctionsAreSmall: (sources) => rules.filesAndFunctionsAreSmall(sources, LARGE),
  timeAndChanceAreHandedIn: rules.timeAndChanceAreHandedIn,
  typesAreNotEscaped: rules.typesAreNotEscaped,
  nothingIsPutOff: rules.nothingIsPutOff,
  noTestIsSkipped: rules.noTestIsSkipped,
} satisfies Record<string, rules.Rule>
type RuleName = keyof typeof perSource

describe('the repository is tidy', () => {
  const files = readTree(root)
  const sources = files
    .filter((f) => f.path.endsWith('.ts'))
    .map((f) => parseSource(f.path, f.text))

  it.each(Object.keys(perSource) as RuleName[])('%s', (name) => {
    expect(perSource[name](sources)).toEqual([])
  })

  it('noPathOfOneMachine', () => {
    expect(rules.noPathOfOneMachine(files)).toEqual([])
  })
})

type Files = Record<string, string>
const parse = (files: Files): Source[] =>
  Object.entries(files).map(([file, text]) => parseSource(file, text))

/** A template's hole, written so that the linter does not take the text for a template. */
const hole = (inner: string) => `$\u007b${inner}}`

/** For each rule: files that break it, and the findings to come. What is fine stands beside what is not. */
const bad: Record<RuleName, [Files, string[]][]> = {
  importsRunDownwards: [
    [
      {
        'bus/a.ts': "import { p } from '../placement/index.ts'",
        'placement/index.ts': "export * from '../bus/index.ts'",
      },
      ['bus/a.ts:1 bus may not import placement'],
    ],
    [
      { 'loadgen/a.ts': "\n\nexport type { A } from '../actors/index.ts'" },
      ['loadgen/a.ts:3 loadgen may not import actors'],
    ],
    [
      {
        'nf-apps/packet/index.ts': "import '../nf.ts'\nimport '../../bus/index.ts'",
        'nf-apps/nf.ts': "import { x } from './packet/index.ts'",
      },
      ['nf-apps/packet/index.ts:1 nf-apps/packet may not import nf-apps'],
    ],
    [
      { 'nf-apps/ids/index.ts': "import '../nat/index.ts'", 'nf-apps/nat/index.ts': '' },
      ['nf-apps/ids/index.ts:1 nf-apps/ids may not import nf-apps/nat'],
    ],
    [
      {
        'cli/a.ts':
          "import {\n  kit,\n} from '../test/kit/index.ts'\nawait import('../bus/index.ts')",
      },
      ['cli/a.ts:3 cli may not import test/kit'],
    ],
    [{ 'utils/a.ts': '' }, ['utils/a.ts: utils/ has no place among the layers']],
  ],
  foldersAreEnteredByTheirDoor: [
    [
      {
        'placement/a.ts': "import { x } from '../bus/frame.ts'\nimport { y } from './b.ts'",
        'test/unit/a.test.ts': "import { x } from '../../bus/index.ts'\nimport './tidy.ts'",
      },
      ['placement/a.ts:1 enters bus/ by bus/frame.ts'],
    ],
    [
      {
        'nf-apps/packet/index.ts': '',
        'nf-apps/a.ts': "import { x } from './packet/ip.ts'",
        'loadgen/a.ts': "import { x } from '../nf-apps/packet/index.ts'",
      },
      ['nf-apps/a.ts:1 enters nf-apps/packet/ by nf-apps/packet/ip.ts'],
    ],
  ],
  noCyclesBetweenFolders: [
    [
      {
        'nf-apps/index.ts': "export * from './nat/index.ts'",
        'nf-apps/nat/index.ts': "import { nf } from '../index.ts'\nimport { b } from './b.ts'",
        'nf-apps/nat/b.ts': "import type { c } from './index.ts'",
      },
      [
        'nf-apps/index.ts:1 is in a circle with nf-apps/nat/index.ts',
        'nf-apps/nat/index.ts:1 is in a circle with nf-apps/index.ts',
      ],
    ],
  ],
  importsNameTheirFile: [
    [
      { 'bus/a.ts': "import './b'\nimport './c.js'\nimport './d.ts'\nimport 'nats'" },
      ["bus/a.ts:1 './b' does not end in .ts", "bus/a.ts:2 './c.js' does not end in .ts"],
    ],
  ],
  everyFileIsUsed: [
    [
      {
        'index.ts': "export * from './bus/index.ts'",
        'bus/index.ts': "new Worker(new URL('./worker.js', import.meta.url))",
        'bus/worker.ts': '',
        'bus/lost.ts': "// import './lost-too.ts'",
        'bus/lost-too.ts': '',
        'bus/tried.ts': '',
        'test/unit/a.test.ts': "import '../../bus/tried.ts'",
      },
      ['bus/lost.ts: no program or test uses it', 'bus/lost-too.ts: no program or test uses it'],
    ],
  ],
  everyExportIsUsed: [
    [
      {
        'index.ts': "export * from './bus/index.ts'",
        'bus/index.ts': "export { named as offered } from './a.ts'\nexport * from './b.ts'",
        'bus/a.ts': 'export const offered = 1\nexport const left = 2\nexport class Used {}',
        'bus/b.ts': 'export function alsoOffered() {}\n// left is only spoken of: left\nnew Used()',
      },
      ['bus/a.ts:2 nobody else uses left'],
    ],
  ],
  filesAndFunctionsAreSmall: [
    [{ 'bus/a.ts': '//\n'.repeat(501), 'bus/b.ts': '//\n'.repeat(500) }, ['bus/a.ts: 501 lines']],
    [
      {
        'bus/a.ts': `class A {\n  long(x: { a: 1 }): Map<string, { b: 2 }> {${'\n'.repeat(70)}  }\n}`,
        'bus/b.ts': `const fine = (): { a: 1 } => {${'\n'.repeat(69)}}\nif (x) {${'\n'.repeat(80)}}`,
        'test/unit/a.test.ts': `describe('chapter', () => {${'\n'.repeat(90)}})`,
      },
      ['bus/a.ts:2 long has 71 lines'],
    ],
  ],
  timeAndChanceAreHandedIn: [
    [
      {
        'bus/clock.ts': 'setTimeout(f, performance.now())',
        'placement/a.ts': "// Date.now()\nconst t = 'Math.random'\nclock.setTimeout(f)\nDate.now()",
        'actors/a.ts': `x = \`${hole('Math.random()')} f()\`\nsetImmediate(f)\nnew Date(0)`,
        'test/kit/a.ts': 'new Date()',
        'test/unit/a.test.ts': 'setTimeout(f, 1)',
      },
      [
        'placement/a.ts:4 takes time or chance by itself: Date.now',
        'actors/a.ts:1 takes time or chance by itself: Math.random',
        'actors/a.ts:2 takes time or chance by itself: setImmediate',
        'test/kit/a.ts:1 takes time or chance by itself: new Date()',
      ],
    ],
  ],
  typesAreNotEscaped: [
    [
      {
        'bus/a.ts': `f(x as unknown as B, y as A)\n// @${'ts'}-ignore\n/* @${'ts'}-expect-error */`,
        'bus/b.ts': `// biome-${'ignore'} lint/a/b: a reason\n// biome-${'ignore'} lint/a/b:`,
        'test/types/a.ts': `// @${'ts'}-expect-error`,
      },
      [
        'bus/a.ts:1 escapes its types: as unknown as',
        `bus/a.ts:2 silences: @${'ts'}-ignore`,
        `bus/a.ts:3 silences: @${'ts'}-expect-error`,
        `bus/b.ts:2 silences: biome-${'ignore'} lint/a/b:`,
      ],
    ],
  ],
  nothingIsPutOff: [
    [{ 'bus/a.ts': "const s = 'TODO'\n// TODO: later\n" }, ['bus/a.ts:2 puts off: TODO']],
  ],
  noTestIsSkipped: [
    [
      {
        'test/unit/a.test.ts': "it.only('a', f)\ndescribe\n  .skip('b', f)\nit.runIf(x)('c', f)",
      },
      [
        'test/unit/a.test.ts:1 leaves tests out: it.only',
        'test/unit/a.test.ts:2 leaves tests out: describe\n  .skip',
      ],
    ],
  ],
}

describe('each rule can fail', () => {
  const cases = (Object.keys(bad) as RuleName[]).flatMap((name) =>
    bad[name].map(([files, findings]) => ({ name, files, findings })),
  )
  it.each(cases)('$name: $findings.0', ({ name, files, findings }) => {
    expect(perSource[name](parse(files))).toEqual(findings)
  })

  it('noPathOfOneMachine', () => {
    const mine = ['', 'home', 'me', 'x'].join('/')
    const beside = ['..', 'work', 'y'].join('/')
    const text = `https://a.b/home/x /etc/prads ${beside}\nsee ${mine}`
    expect(rules.noPathOfOneMachine([{ path: 'a.md', text }])).toEqual([
      `a.md:2 names a path of one machine: ${mine.slice(0, -2)}`,
    ])
  })

  it('an allowance excuses one thing, and is told when nobody needs it', () => {
    const sources = parse({ 'bus/a.ts': `function f() {${'\n'.repeat(70)}}` })
    const allow = (what: string) => [{ what, why: 'one hot loop' }]
    expect(rules.filesAndFunctionsAreSmall(sources, allow('bus/a.ts#f'))).toEqual([])
    expect(rules.filesAndFunctionsAreSmall(sources, allow('bus/a.ts#g'))).toEqual([
      'bus/a.ts:1 f has 71 lines',
      'bus/a.ts#g: needs no allowance any more',
    ])
  })
})

describe('the tokenizer', () => {
  const codeOf = (text: string) => parseSource('bus/a.ts', text).code

  it.each([
    ["a('it\\'s // no comment') // one", "a('                   ')       "],
    ['x = /[/"]\\//g.test(y) / 2 / 1', 'x = /      /g.test(y) / 2 / 1'],
    [`\`a ${hole('b + `c')} {\` + e`, '`   {b + `    ` + e'],
    [`\`a ${hole('b + {}')} {\` + e`, '`   {b + {}}  ` + e'],
    ['/* { */ f({ a: `}` })', '        f({ a: ` ` })'],
    ["s = '😀' + t", "s = '  ' + t"],
  ])('%s', (text, code) => {
    expect(codeOf(text)).toBe(code)
  })

  it('finds functions, and takes nothing else for one', () => {
    const text = `
      function a<T>(x = f({})): asserts x is T {}
      const b = async (p: string): Promise<void> => {}
      class C extends D(E) { constructor() {} get e(): { f: 1 } | undefined {} }
      const g = { h(this: X): [A, B] | typeof y {}, i: 1 }
      interface I { j(): { k: 1 }; l(): void }
      switch (m(n)) { case o(p): { q ? r(s) : t } }
      for (const u of v()) {} while (w()) {} if (x()) {} else {} try {} catch (y) {}
      const z = (): ((q: 1) => void) => { return () => {} }
    `
    const names = functionsOf(parseSource('bus/a.ts', text)).map((fn) => fn.name)
    expect(names).toEqual(['a', 'b', 'constructor', 'e', 'h', 'z', 'a function'])
  })
})
