"""Emails: `content` renders them, `message` encodes them, `mailer` sends each once, `smtp` is the SMTP client.

Guarantees. SMTP has no transactions. If a worker crashes between the "250 accepted" and the record of it, it is
unknown whether the email was sent. Therefore:

- Before the dialogue a row with the state `sending` is committed, and after it the row becomes `sent`. This commit is
  separate from the completion of the job, so a job that runs again does not send a recorded email again.
- During the dialogue the row is locked. A frozen worker keeps the lock, so no other worker sends the email. A dead
  worker loses the lock with its connection.
- After a crash before the record, the email is sent again, byte for byte and with the same Message-ID. Mail servers
  and programs that suppress duplicates drop the second copy.

Each further attempt logs `email_may_repeat`, also if the server cannot have accepted the email before.
"""

from workers.emails.content import EmailContent, render_order_email, render_sales_email, render_welcome_email
from workers.emails.mailer import Mailer
from workers.emails.smtp import SmtpServer

__all__ = ["EmailContent", "Mailer", "SmtpServer", "render_order_email", "render_sales_email", "render_welcome_email"]
