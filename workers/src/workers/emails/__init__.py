"""Emails: what they say (`letters`), how they look on the wire (`message`), and that each is sent once (`mailer`).

What can be promised. SMTP has no transactions: between the server's "250 accepted" and our record of it lies a moment
in which a crash leaves nobody knowing whether the message went out. So:

- before the dialogue a row `sending` is committed, after it the row becomes `sent`, apart from the job's own
  completion: a job that runs again after that sends nothing;
- during the dialogue the row is locked: a worker that is frozen in it, not dead, keeps others from sending; a dead
  one loses the lock with its connection;
- a crash inside the moment sends the message again, never loses it, and the second copy is the first one byte by
  byte, with the same Message-ID: servers and mail programs that suppress duplicates drop it, and the log says
  `email_may_repeat`.
"""

from workers.emails.letters import Letter, order_letter, sales_letter, welcome_letter
from workers.emails.mailer import Mailer
from workers.emails.smtp import SmtpServer

__all__ = ["Letter", "Mailer", "SmtpServer", "order_letter", "sales_letter", "welcome_letter"]
