"""The headings of other systems' exports for the fields of a contact.

Sources: Mailchimp, the header of an audience export (`Email Address,First Name,Last Name,…,
MEMBER_RATING,OPTIN_TIME,…,TIMEZONE,…,LEID,EUID,NOTES`; unsubscribed and cleaned members have
UNSUB_TIME, UNSUB_REASON, CLEAN_TIME, CLEAN_CAMPAIGN_TITLE beside); HubSpot, "Record ID - Contact,
First Name,Last Name,Email,Phone Number,Mobile Phone Number,Time Zone" and "Unsubscribed from all
email"; Klaviyo, help article 115005078967 ("Email Address", "Phone Number") and its exports with
"Email Marketing Consent", "SMS Marketing Consent"; Brevo, help article 208729849 (EMAIL, FIRSTNAME,
LASTNAME, SMS, WHATSAPP, LANDLINE_NUMBER, EXT_ID); Shopify, "Customer ID,First Name,Last Name,Email,
Accepts Email Marketing,…,Default Address Phone,Phone,Accepts SMS Marketing"; Google Contacts,
"First Name,Middle Name,Last Name,…,E-mail 1 - Value,…,Phone 1 - Value" and, before 2024, "Given
Name,Family Name"; Outlook, "E-mail Address,E-mail 2 Address,Mobile Phone,Home Phone,Business
Phone".
The words of German, French, Spanish, Italian, Portuguese and Dutch are those of their dictionaries.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

# Column -> headings, folded; where a file has several, the earlier one is the field. Ids of other
# systems are not among them: two systems' ids of one person would make two contacts of one address.
_SYNONYMS = {
    "external_id": "externalid extid externalidentifier",
    "email": (
        "email emailaddress primaryemail primaryemailaddress email1value email1address email1"
        " contactemail customeremail subscriberemail useremail workemail personalemail mail"
        " emailadresse mailadresse adresseemail adressemail adresseélectronique courriel"
        " correo correoelectrónico correoelectronico indirizzoemail enderecodeemail"
        " endereçodeemail emailadres email2value email2address email2 email3value email3address"
        " email3"
    ),
    "phone": (
        "phone mobile mobilephone mobilephonenumber mobilenumber cell cellphone cellphonenumber"
        " cellnumber sms smsphone smsphonenumber smsnumber whatsapp whatsappnumber whatsappphone"
        " phonenumber primaryphone primaryphonenumber telephone telephonenumber tel phone1value"
        " phone1 contactphone customerphone handy handynummer mobil mobiltelefon mobilnummer"
        " telefon telefonnummer portable téléphoneportable téléphonemobile téléphone"
        " numérodetéléphone móvil movil celular teléfonomóvil teléfono telefono cellulare"
        " telemóvel telefone mobiel mobielnummer telefoon telefoonnummer phone2value phone2"
        " defaultaddressphone defaultphone homephone businessphone workphone otherphone"
        " landlinenumber landline phone3value phone3"
    ),
    "push_token": "pushtoken devicetoken fcmtoken apnstoken registrationtoken",
    "first_name": (
        "firstname fname givenname forename vorname prénom prenom nombre primernombre voornaam"
        " primeironome"
    ),
    "last_name": (
        "lastname lname surname familyname nachname familienname nomdefamille apellido apellidos"
        " cognome sobrenome achternaam"
    ),
    "time_zone": "timezone tz zeitzone fuseauhoraire zonahoraria fusohorario tijdzone",
    "locale": "locale preferredlocale",
    "id": "id",
}
#: Folded heading -> its column, and the place among the headings of that column (0 = first).
SYNONYMS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        heading: (column, rank)
        for column, headings in _SYNONYMS.items()
        for rank, heading in enumerate(headings.split())
    }
)
_LONGEST = 100  # characters of a heading that means anything here
_SEPARATORS = re.compile(r"[\s_\-]+")
_ADDITION = re.compile(r"(?:[\s*:?.]|\([^()]*\)|\[[^\[\]]*\])+$")
_CONSENT = re.compile(
    r"consent|optedin|optedout|optin|optout|unsub|subscri(?:bed|ption)|accepts\w*marketing"
    r"|blacklist|blocklist|blocked|suppress|donot(?:contact|e?mail|call|text|disturb)"
    r"|gdpr|newsletter|emailstatus|marketingstatus|cleantime|bounce|einwilligung|abgemeldet"
    r"|désinscri|désabonn|consentement|consentimiento|consenso"
)


def folded_heading(heading: str) -> str:
    """The heading without case, spaces, hyphens and underscores, in compatibility form (NFKC)."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", heading).casefold())


def field_of(heading: str) -> tuple[str, int] | None:
    """The column that a heading means, and its rank; None = none of them. A part in brackets behind
    it, and marks such as those of mandatory columns, are passed over: `Telefon (mobil) *`.
    """
    if len(heading) > _LONGEST:
        return None
    found = SYNONYMS.get(folded_heading(heading))
    if found is not None or is_consent(heading):
        return found
    column, rank = SYNONYMS.get(folded_heading(_ADDITION.sub("", heading)), (None, 0))
    return None if column is None else (column, rank + len(SYNONYMS))


def is_consent(heading: str) -> bool:
    """Whether a column seems to say who agreed to be written to, or did not."""
    return _CONSENT.search(folded_heading(heading[:_LONGEST])) is not None
