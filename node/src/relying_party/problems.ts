/** What goes wrong while a request is served: the visitor is told little, the app's log the rest. */

import { failed, type Failure, type FlyteAuthError } from '../errors';

/** Is told of a problem. */
export type OnProblem = (problem: FlyteAuthError) => void;

/** Visitors cause these as they like: they are no news for a log. */
const ROUTINE: ReadonlySet<string> = new Set(['denied', 'login_required', 'cancelled']);

/** Tells of a failure, as the native half gives it: to `onProblem`, else of what is no routine to `log`. */
export function tell(problem: string | undefined, onProblem: OnProblem | undefined, log: OnProblem): void {
  if (problem === undefined) return;
  const error = failed(JSON.parse(problem) as Failure);
  if (onProblem !== undefined) onProblem(error);
  else if (!ROUTINE.has(error.kind)) log(error);
}

/** One line on stderr. */
export function toStderr(problem: FlyteAuthError): void {
  console.error(`flyte-auth: ${problem.message}`);
}
