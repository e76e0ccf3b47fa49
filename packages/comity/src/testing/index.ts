export { type TestBus, type TestTeam, type TestTeamOptions, testBus, testTeam } from './test-team.ts'
