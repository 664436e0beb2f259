"""Emails. Each is sent once, as far as SMTP allows.

`content` renders an email, `message` encodes it, `mailer` sends it and `smtp` is the SMTP client. `repository` records
which emails were sent, and locks the emails that are being sent.

Guarantees. SMTP has no transactions. After a server accepted an email, the worker can crash, the response of the server
can be lost, or the database can be unavailable for `RECORD_TIMEOUT_S`. Then it is unknown whether the email was sent.
Therefore:

- A row with the state `sending` is committed before the SMTP dialogue. After the dialogue, a second transaction sets
  the state `sent`. This transaction is separate from the completion of the job. Therefore a job that runs again does
  not send a recorded email again.
- The second transaction locks the row during the dialogue, and no other worker sends the email while the row is locked.
  A frozen worker keeps the lock for at most `LOCK_IDLE_S`, which is longer than a dialogue. A dead worker loses the
  lock with its connection.
- An email without a recorded result is sent again with the same Message-ID. Mail servers and programs that suppress
  duplicates drop the second copy.

Each further attempt logs `email_may_repeat`, even if the server cannot have accepted the email before.
"""

from workers.emails.content import EmailContent, render_order_email, render_sales_email, render_welcome_email
from workers.emails.mailer import Mailer
from workers.emails.smtp import SmtpServer

__all__ = ["EmailContent", "Mailer", "SmtpServer", "render_order_email", "render_sales_email", "render_welcome_email"]
