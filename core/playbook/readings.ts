import { compilePlaybook } from './compile.ts'
import { readSubmission } from './submission.ts'

/** What servers read of playbooks' texts: what is sent to the catalog, and what was registered before. */
export const readings = {
  submission: readSubmission,
  registered: (text: string) => compilePlaybook(text).playbook,
}
