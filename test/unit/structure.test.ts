/**
 * The structure of the repository: the folders are the architecture, and documents are right where that can be checked.
 *
 * Mutations caught: a value imported by ring from membership; an import of store by membership; a circle of values between two files,
 * and one of types in another folder; an import of a file that is not there; `export *` and `export default`; a file with 460 more lines
 * of code, and one without its first comment; an absolute path of one machine; in documents, an example with a misspelt option, one
 * that imports what its index no longer exports, a dead link, an npm command and a file that do not exist, an error code left out.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const ROOT = resolve(fileURLToPath(import.meta.url), '../../..')
const LINES_MAX = 450
const LAYERS = ['membership', 'ring', 'store'] as const

/** What is not source: installed, built, or a tool's own. */
const IGNORED = new Set(['node_modules', 'dist', 'coverage', '.git'])

function filesIn (folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name)
    return IGNORED.has(entry.name) ? [] : entry.isDirectory() ? filesIn(path) : [path]
  })
}

/** Every file of the repository, relative to the root. */
const paths = filesIn('.').sort()
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const sources = paths.filter(path => path.endsWith('.ts'))
const readmes = paths.filter(path => path.endsWith('README.md'))

interface Import {
  readonly from: string
  /** A file of this repository, or the name of a package. */
  readonly to: string
  /** It asks for nothing but types. */
  readonly typesOnly: boolean
}

const parse = (path: string): ts.SourceFile => ts.createSourceFile(path, read(path), ts.ScriptTarget.ESNext)
const parsed = new Map(sources.map(path => [path, parse(path)]))

/** Whether an import or export statement names types alone. */
function isTypesOnly (statement: ts.ImportDeclaration | ts.ExportDeclaration): boolean {
  if (ts.isExportDeclaration(statement)) {
    const { exportClause } = statement
    if (statement.isTypeOnly) return true
    return exportClause !== undefined && ts.isNamedExports(exportClause) && exportClause.elements.every(element => element.isTypeOnly)
  }
  const clause = statement.importClause
  if (clause === undefined) return false
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true
  const { name, namedBindings: names } = clause
  return name === undefined && names !== undefined && ts.isNamedImports(names) && names.elements.every(element => element.isTypeOnly)
}

function importsOf (path: string): Import[] {
  const imports: Import[] = []
  const add = (specifier: string, typesOnly: boolean): void => {
    imports.push({ from: path, to: specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : specifier, typesOnly })
  }
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined) {
      add((node.moduleSpecifier as ts.StringLiteral).text, isTypesOnly(node))
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword && ts.isStringLiteral(node.arguments[0]!)) {
      add(node.arguments[0].text, false)
    } else ts.forEachChild(node, visit)
  }
  visit(parsed.get(path)!)
  return imports
}

const imports = sources.flatMap(importsOf)

/** Tarjan's algorithm: the sets of files that import each other, directly or not. */
function cycles (edges: readonly Import[]): string[][] {
  const next = new Map<string, string[]>(sources.map(path => [path, []]))
  for (const { from, to } of edges) if (next.has(to)) next.get(from)!.push(to)
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const found: string[][] = []
  const visit = (path: string): void => {
    index.set(path, index.size)
    low.set(path, index.get(path)!)
    stack.push(path)
    for (const to of next.get(path)!) {
      if (!index.has(to)) {
        visit(to)
        low.set(path, Math.min(low.get(path)!, low.get(to)!))
      } else if (stack.includes(to)) low.set(path, Math.min(low.get(path)!, index.get(to)!))
    }
    if (low.get(path) !== index.get(path)) return
    const cycle = stack.splice(stack.indexOf(path))
    if (cycle.length > 1) found.push(cycle.sort())
  }
  for (const path of sources) if (!index.has(path)) visit(path)
  return found
}

const within = (folder: string) => (path: string): boolean => path.startsWith(`${folder}/`)

describe('imports', () => {
  test('there are sources to look at', () => {
    for (const layer of LAYERS) expect(sources.filter(within(layer)).length).toBeGreaterThan(10)
    expect(imports.length).toBeGreaterThan(sources.length)
  })

  test('run one way: store, then ring, then membership; none of them imports tests or examples', () => {
    const forbidden: Readonly<Record<typeof LAYERS[number], readonly string[]>> = {
      membership: ['ring', 'store', 'test', 'examples'], ring: ['store', 'test', 'examples'], store: ['test', 'examples']
    }
    for (const layer of LAYERS) {
      const wrong = imports.filter(({ from, to }) => within(layer)(from) && (forbidden[layer].some(folder => within(folder)(to)) || /^coterie(\/|$)/.test(to)))
      expect(wrong).toEqual([])
    }
  })

  test('ring takes nothing but types from membership', () => {
    expect(imports.filter(({ from, to, typesOnly }) => within('ring')(from) && within('membership')(to) && !typesOnly)).toEqual([])
  })

  test('no file imports itself in the end', () => {
    expect(cycles(imports.filter(({ typesOnly }) => !typesOnly))).toEqual([])
  })

  // The parts of a replica know the replica they belong to by its type, and a simulated transport its network.
  test('types refer to each other in a circle only where parts know the whole that they belong to', () => {
    const folders = cycles(imports).map(circle => [...new Set(circle.map(path => dirname(path)))].join())
    expect(folders).toEqual(['store/group', 'test/sim'])
  })

  test('every file that is imported is there', () => {
    expect(imports.filter(({ to }) => to.includes('/') && to.endsWith('.ts') && !existsSync(join(ROOT, to)))).toEqual([])
  })
})

describe('files', () => {
  const isCode = (line: string): boolean => line.trim() !== '' && !/^\s*(\/\/|\/\*|\*)/.test(line)

  test(`none has more than ${LINES_MAX} lines of code`, () => {
    const long = sources.map(path => ({ path, lines: read(path).split('\n').filter(isCode).length })).filter(({ lines }) => lines > LINES_MAX)
    expect(long).toEqual([])
  })

  test('each begins by saying what it is', () => {
    const silent = sources.filter(path => LAYERS.some(layer => within(layer)(path)) && !/^(#!.*\n)?\/\*\*/.test(read(path)))
    expect(silent).toEqual([])
  })

  test('exports have names: no default export, except where a tool wants one', () => {
    const isDefault = (statement: ts.Statement): boolean => ts.isExportAssignment(statement) ||
      (ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword) === true)
    expect([...parsed].filter(([, { statements }]) => statements.some(isDefault)).map(([path]) => path)).toEqual(['vitest.config.ts'])
  })

  test('each layer has one index, and it names what it exports', () => {
    for (const layer of LAYERS) {
      for (const statement of parsed.get(`${layer}/index.ts`)!.statements) {
        expect(ts.isExportDeclaration(statement) && statement.exportClause !== undefined && ts.isNamedExports(statement.exportClause)).toBe(true)
      }
    }
  })

  test('nothing names a place on one machine alone', () => {
    const place = new RegExp(['/wo', 'rk/(main|shared|\\.library)|/ho', 'me/\\w'].join(''))
    const texts = paths.filter(path => /\.(ts|js|json|md|sh|yml)$/.test(path) || path.startsWith('.ci/'))
    expect(texts.filter(path => place.test(read(path)))).toEqual([])
  })
})

/** The blocks of one language in a document. A block without imports continues the one before it. */
function blocks (path: string, language: string): string[] {
  const programs: string[] = []
  for (const [, code] of read(path).matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))) {
    if (programs.length > 0 && !/^import /m.test(code!)) programs.push(`${programs.pop()!}\n${code!}`)
    else programs.push(code!)
  }
  return programs
}

/** Compiles programs that are not on the disk as if they lay beside their documents. Returns what the compiler has to say. */
function compile (programs: ReadonlyMap<string, string>): string[] {
  const configPath = join(ROOT, 'tsconfig.json')
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(configPath, path => ts.sys.readFile(path)).config, ts.sys, ROOT)
  const settings: ts.CompilerOptions = { ...options, noEmit: true, incremental: false, noUnusedLocals: false, noUnusedParameters: false }
  delete settings.tsBuildInfoFile
  const host = ts.createCompilerHost(settings)
  const { fileExists, readFile, getSourceFile } = host
  host.fileExists = path => programs.has(path) || fileExists(path)
  host.readFile = path => programs.get(path) ?? readFile(path)
  host.getSourceFile = (path, version, ...rest) => {
    const text = programs.get(path)
    return text === undefined ? getSourceFile(path, version, ...rest) : ts.createSourceFile(path, text, version, true)
  }
  const program = ts.createProgram([...programs.keys()], settings, host)
  return [...programs.keys()].flatMap(path => {
    const file = program.getSourceFile(path)!
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(({ start = 0, messageText }) => {
      const { line } = file.getLineAndCharacterOfPosition(start)
      return `${path.slice(ROOT.length + 1)}: ${file.text.split('\n')[line]!.trim()}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
    })
  })
}

describe('documents', () => {
  const documented = new Map(readmes.flatMap(path => blocks(path, 'ts').map((code, index) => [join(ROOT, dirname(path), `readme-${index}.ts`), code] as const)))

  test('the code in them compiles', () => {
    for (const folder of [...LAYERS, 'test']) expect([...documented.keys()].some(path => dirname(path) === join(ROOT, folder))).toBe(true)
    expect(compile(documented)).toEqual([])
  })

  test('code that is wrong does not', () => {
    const wrong = new Map([
      [join(ROOT, 'wrong-0.ts'), 'import { startNode } from \'coterie\'\nawait startNode({ directoy: \'a\' })'],
      [join(ROOT, 'wrong-1.ts'), 'import { nothing } from \'coterie/ring\'\nnothing()']
    ])
    expect(compile(wrong)).toHaveLength(2)
  })

  test('every layer and the tests have one', () => {
    for (const folder of [...LAYERS, 'test', 'examples']) expect(readmes).toContain(`${folder}/README.md`)
  })

  test('links lead to files that are there', () => {
    const targets = (path: string): string[] => [...read(path).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, target]) => join(dirname(path), target!))
    const dead = readmes.flatMap(targets).filter(target => !existsSync(join(ROOT, target)))
    expect(dead).toEqual([])
  })

  test('the commands of npm that they name exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Readonly<Record<string, string>> }
    const named = readmes.flatMap(path => [...read(path).matchAll(/npm run ([a-z:-]+)/g)].map(([, name]) => name!))
    expect(named.filter(name => scripts[name] === undefined)).toEqual([])
  })

  test('the files of a layer that its document names in code exist', () => {
    for (const layer of LAYERS) {
      const names = [...read(`${layer}/README.md`).matchAll(/`((?:[\w-]+\/)*[\w-]+\.ts)`/g)].map(([, name]) => name!)
      const known = (name: string): boolean => existsSync(join(ROOT, name)) || sources.some(path => within(layer)(path) && path.endsWith(`/${name}`))
      expect(names.length).toBeGreaterThan(0)
      expect(names.filter(name => !known(name))).toEqual([])
    }
  })

  test('the document of the store names every error code of the store', () => {
    const codes = [...read('store/errors.ts').matchAll(/^ {2}'([A-Z_]+)',?$/gm)].map(([, code]) => code!)
    expect(codes.length).toBeGreaterThan(15)
    expect(codes.filter(code => !read('store/README.md').includes(`\`${code}\``))).toEqual([])
  })
})
