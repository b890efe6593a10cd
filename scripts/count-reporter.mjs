import * as fs from 'node:fs'

/**
 * A vitest reporter that leaves the run's figures in the file that REHOME_COUNTS names. A file or suite
 * that broke before its tests, and an error that no test caught, each count as one failure.
 */
export default class CountReporter {
  onTestRunEnd(modules, unhandledErrors) {
    let passed = 0
    let failed = unhandledErrors.length
    for (const module of modules) {
      failed += module.errors().length
      for (const suite of module.children.allSuites()) failed += suite.errors().length
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed++
        else if (state === 'failed') failed++
      }
    }
    fs.writeFileSync(process.env.REHOME_COUNTS, JSON.stringify({ passed, failed }))
  }
}
