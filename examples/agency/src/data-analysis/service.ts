/** Data Analysis' process: it only lets Comity run, and retries a waiting line when an analyst asks for it. */
import { runService } from '../story/run-service.ts'
import dataAnalysis from './comity.config.ts'

await runService(dataAnalysis, {
  commands: {
    retry: async ({ subscription, key }: { subscription: string; key: string }) => {
      const { ran, error } = await dataAnalysis.retry(subscription, key)
      if (error !== undefined) throw error
      return ran
    },
  },
})
