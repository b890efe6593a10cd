import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RehomeError } from '../bus/index.ts'

/** `rehome new NAME`: a folder with an NF, its test, and what runs both. Answers what to do next. */
export async function newProject(name: string): Promise<string> {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) {
    throw new RehomeError('bad-argument', `rehome new '${name}': small letters, digits and -`)
  }
  const dir = resolve(name)
  if (existsSync(dir) && (await readdir(dir).catch(() => ['it'])).length > 0) {
    throw new RehomeError('bad-argument', `rehome new ${name}: there is something of that name`)
  }
  await mkdir(dir, { recursive: true })
  for (const [file, text] of Object.entries(filesOf(name, dir))) {
    await writeFile(join(dir, file), text)
  }
  const command = isCheckout
    ? `node ${relative(dir, join(home, 'dist/cli/main.js'))}`
    : 'npx rehome'
  const run = `${command} run ./${name}.ts --synthetic ${TRAFFIC}`
  return `${name}/${name}.ts is your NF.\n  cd ${name}\n  ${run}\n  npm install && npm test`
}

const TRAFFIC = 'flows=1000,packets=50000 --scale 1,2,3,1'

/** Where the package is that this command is of. */
const home = fileURLToPath(new URL('../..', import.meta.url))

const isCheckout = existsSync(join(home, 'index.ts'))

/**
 * From a checkout the project takes it as it stands there; where it was installed from a file, from the same file, as no
 * registry need have it; from anywhere else the version that runs.
 */
function dependency(dir: string, version: string): string {
  if (isCheckout) return `file:${relative(dir, home)}`
  const file = installedFrom()
  return file === undefined ? `^${version}` : `file:${relative(dir, file)}`
}

/** The file that npm has installed this package from, as its own list of what it has installed says. */
function installedFrom(): string | undefined {
  const modules = join(home, '..')
  const list = join(modules, '.package-lock.json')
  if (!existsSync(list)) return undefined
  const { packages } = JSON.parse(readFileSync(list, 'utf8')) as Installed
  const from = packages?.['node_modules/rehome-nf']?.resolved ?? ''
  const file = from.startsWith('file:') ? resolve(modules, '..', from.slice(5)) : undefined
  return file !== undefined && existsSync(file) ? file : undefined
}

interface Installed {
  readonly packages?: Readonly<Record<string, { readonly resolved?: string }>>
}

interface Manifest {
  readonly version: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

function filesOf(name: string, dir: string): Record<string, string> {
  const own = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as Manifest
  const manifest = {
    name,
    private: true,
    type: 'module',
    scripts: {
      start: `rehome run ./${name}.ts --synthetic ${TRAFFIC}`,
      test: `tsc && tsx --test ${name}.test.ts`,
    },
    dependencies: { 'rehome-nf': dependency(dir, own.version) },
    devDependencies: {
      '@types/node': own.devDependencies['@types/node'],
      tsx: own.dependencies.tsx,
      typescript: own.devDependencies.typescript,
    },
  }
  const compilerOptions = {
    target: 'ES2022',
    lib: ['ES2023'],
    module: 'NodeNext',
    types: ['node'],
    strict: true,
    noUncheckedIndexedAccess: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    noEmit: true,
  }
  return {
    'package.json': json(manifest),
    'tsconfig.json': json({ compilerOptions, include: ['*.ts'] }),
    [`${name}.ts`]: nfText(name),
    [`${name}.test.ts`]: testText(name),
    'README.md': readmeText(name),
    '.gitignore': 'node_modules/\n',
  }
}

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`

const nfText = (name: string) => `import {
  defineNF, f64, forward, ip, multiWriter, singleWriter, symmetricFlow, symmetricFlowOf, u32, untether,
} from 'rehome-nf'

/** A flow's own: it is at home on the instance that gets the flow's packets. */
const Flow = singleWriter('flow', { packets: u32 })

/** Written by all instances: updates travel to it, merged. */
const Host = multiWriter('host', { bytes: f64 }, {
  add: untether((s, n: number) => { s.bytes += n }, { merge: (a, b) => a + b }),
})

export default defineNF('${name}', {
  summary: 'packets by flow, bytes by host',
  state: {
    flows: Flow.keyedBy(symmetricFlow),
    hosts: Host.keyedBy(ip),
  },
  onPacket(p, { flows, hosts }) {
    hosts.at(p.src).add(p.wireLength)
    return flows.with(symmetricFlowOf(p), (flow) => {
      flow.packets++
      return forward
    })
  },
  async result({ flows, hosts }) {
    const byFlow = (await flows.all()).map(({ key, state }) => \`\${symmetricFlow.text(key)} \${state.packets}\`)
    const byHost = (await hosts.all()).map(({ key, state }) => \`\${key} \${state.bytes}\`)
    return [...byFlow.sort(), ...byHost.sort()]
  },
})
`

const testText = (name: string) => `import { test } from 'node:test'
import { expectEquivalent } from 'rehome-nf/testing'

test('many instances that come and go end as one', async () => {
  // By its address: each instance then loads the NF for itself, and state kept outside actors shows.
  await expectEquivalent(new URL('./${name}.ts', import.meta.url))
})
`

const readmeText = (name: string) => `# ${name}

A network function on [Rehome](https://www.npmjs.com/package/rehome-nf): \`${name}.ts\` says what it does with a packet and what
it remembers; where that lives, and how it moves when instances come and go, is Rehome's.

\`\`\`
npm install
npm start                                              synthetic traffic on 1, 2, 3 and 1 instances
npm test                                               types, and: many instances end as one
npx rehome run ./${name}.ts --pcap FILE --scale 1,2      a capture of yours
\`\`\`
`
