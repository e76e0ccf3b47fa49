-- What operators ask for by the key or the message; both tables are small, and written by acts of operators and by rules alone.

create index discarded_key on comity.discarded (subscription, key, discarded_at);
create index discarded_message on comity.discarded (message);
create index edited_key on comity.edited (subscription, key, edited_at);
