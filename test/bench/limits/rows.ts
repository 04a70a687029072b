/** The rows of `npm run bench -- limits`. */

export interface LimitRow { readonly limit: string, readonly unit: string, readonly value: number }
