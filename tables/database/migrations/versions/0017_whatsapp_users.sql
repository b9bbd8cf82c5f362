-- The contacts behind the ids of WhatsApp's users, who may hide their numbers.
CREATE TABLE whatsapp_users (
  tenant_id varchar(64) NOT NULL,
  user_id varchar(140) NOT NULL,
  contact_id uuid NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
  PRIMARY KEY (tenant_id, user_id, contact_id)
);

CREATE INDEX idx_whatsapp_users_contact ON whatsapp_users (contact_id);
