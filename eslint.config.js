import stylistic from '@stylistic/eslint-plugin'
import tseslint from 'typescript-eslint'

// The linter is the style guide: each ban names its replacement.
const nondeterminism = [
  { selector: 'MemberExpression[object.name=\'Date\'][property.name=\'now\']', message: 'Take the time as an argument, or use Clock.now().' },
  { selector: 'NewExpression[callee.name=\'Date\'][arguments.length=0]', message: 'Take the time as an argument, or use Clock.wallNow().' },
  { selector: 'MemberExpression[object.name=\'performance\'][property.name=\'now\']', message: 'Take the time as an argument, or use Clock.now().' },
  { selector: 'MemberExpression[object.name=\'Math\'][property.name=\'random\']', message: 'Use Random.' },
  { selector: 'CallExpression[callee.name=/^(setTimeout|setInterval|setImmediate)$/]', message: 'Use Clock.setTimer().' },
  { selector: 'Identifier[name=\'randomUUID\']', message: 'Use Random.id().' },
  { selector: 'Identifier[name=\'randomBytes\']', message: 'Use Random.bytes().' }
]

const layer = (forbidden, message) => ['error', { patterns: [{ group: forbidden, message }] }]

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/'] },
  ...tseslint.configs.recommended,
  stylistic.configs.customize({ indent: 2, quotes: 'single', semi: false, commaDangle: 'never', braceStyle: '1tbs', arrowParens: false }),
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      // An import of nothing but types leaves nothing behind: ring would else load membership when it runs.
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-empty-object-type': 'off',
      '@stylistic/space-before-function-paren': ['error', 'always'],
      '@stylistic/arrow-parens': 'off',
      '@stylistic/max-statements-per-line': 'off',
      '@stylistic/operator-linebreak': 'off',
      '@stylistic/quote-props': ['error', 'as-needed'],
      '@stylistic/member-delimiter-style': ['error', { multiline: { delimiter: 'none' }, singleline: { delimiter: 'comma', requireLast: false } }],
      '@stylistic/multiline-ternary': 'off',
      '@stylistic/max-len': ['error', { code: 150, ignoreStrings: true, ignoreTemplateLiterals: true, ignoreRegExpLiterals: true }],
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true, named: true } }],
      'max-lines': ['error', { max: 450, skipBlankLines: true, skipComments: true }]
    }
  },
  // Cores are pure: clocks, chance and timers arrive through the Environment (rule of membership/README.md).
  {
    files: ['membership/**/*.ts', 'ring/**/*.ts', 'store/**/*.ts', 'test/sim/**/*.ts'],
    ignores: ['membership/environment/system.ts', 'store/cli/**'],
    rules: { 'no-restricted-syntax': ['error', ...nondeterminism] }
  },
  // Imports run one way: store -> ring -> membership; ring takes nothing but types from membership.
  {
    files: ['membership/**/*.ts'],
    rules: { 'no-restricted-imports': layer(['**/ring/**', '**/store/**', '**/test/**', '**/examples/**', 'coterie', 'coterie/*'], 'membership imports no other layer.') }
  },
  {
    files: ['ring/**/*.ts'],
    rules: {
      'no-restricted-imports': 'off',
      '@typescript-eslint/no-restricted-imports': ['error', {
        patterns: [
          { group: ['**/store/**', '**/test/**', '**/examples/**', 'coterie', 'coterie/*'], message: 'ring imports neither store nor tests.' },
          { group: ['**/membership/**'], allowTypeImports: true, message: 'ring uses only the types of membership.' }
        ]
      }]
    }
  },
  {
    files: ['store/**/*.ts'],
    rules: { 'no-restricted-imports': layer(['**/test/**', '**/examples/**', 'coterie', 'coterie/*'], 'store imports neither tests nor examples.') }
  },
  { files: ['vitest.config.ts'], rules: { 'no-restricted-exports': 'off' } },
  { files: ['*.js', 'vitest.config.ts'], extends: [tseslint.configs.disableTypeChecked], rules: { '@typescript-eslint/no-floating-promises': 'off', '@typescript-eslint/no-misused-promises': 'off', '@typescript-eslint/switch-exhaustiveness-check': 'off' } }
)
