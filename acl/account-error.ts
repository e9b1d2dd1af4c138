/** What was asked of accounts, groups or policies cannot be done; the message says why. The codes are IAM's. */
export class AccountError extends Error {
  override name = 'AccountError';
  readonly code: 'EntityAlreadyExists' | 'NoSuchEntity' | 'LimitExceeded' | 'DeleteConflict' | 'InvalidInput';
  constructor(code: AccountError['code'], message: string) {
    super(message);
    this.code = code;
  }
}
