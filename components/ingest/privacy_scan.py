"""Personal data found by the form of values and by the names of columns, without any network.

Numbers of telephones and e-mail addresses are judged by libraries, IP addresses by Python's own;
cards and IBANs by their check digits. A name of a person has no form: names of columns tell of it.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import compress

import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from email_validator import EmailNotValidError, validate_email

# Values that are looked at: of a column, of all columns, and of a column among very many.
VALUES, ALL_VALUES, FEWEST = 1_000, 50_000, 50
LONGEST = 2_000
# Numbers without a country's code are tried as numbers of these.
REGIONS = ("US", "GB", "DE", "FR", "IN")
DIFFERENT = 0.2


@dataclass(frozen=True)
class Finding:
    """What a column seems to hold.

    Attributes:
        column: its name.
        kind: such as "e-mail address".
        share: of the sampled values that have the form; 0 where only the name tells.
        sampled: how many values were looked at.
        hinted: whether the column's name tells of it too.
    """

    column: str
    kind: str
    share: float
    sampled: int
    hinted: bool


@dataclass(frozen=True)
class Form:
    """How values of a kind look.

    Attributes:
        kind: its name.
        pattern: finds what may be one.
        valid: says of a match whether it is one.
        least: share of the values that must be valid; 0 for a single one.
        hint: words in a column's name that tell of it.
        hinted: as `least`, for a column whose name tells of it.
        whole: whether the value must be nothing else; else it may stand in a longer text.
        hint_only: looked for only where the name tells of it.
    """

    kind: str
    pattern: str
    valid: Callable[[str], bool]
    least: float
    hint: str = "(?!)"
    hinted: float = 0.02
    whole: bool = False
    hint_only: bool = False

    @property
    def screen(self) -> str:
        """What each value of the form has, as Arrow finds it fast: most values have not."""
        return _SCREENS.get(self.kind, "([0-9][^0-9]{0,3}){7}")


def _email(text: str) -> bool:
    try:
        validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return False
    return True


def _international(text: str) -> bool:
    return _valid_phone(text, None)


def _national(text: str) -> bool:
    return any(_valid_phone(text, region) for region in REGIONS)


def _valid_phone(text: str, region: str | None) -> bool:
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(text, region)))
    except phonenumbers.NumberParseException:
        return False


def _card(text: str) -> bool:
    """A number of a known brand (ISO/IEC 7812) whose check digit is right."""
    digits = re.sub(r"\D", "", text)
    if not _BRANDS.fullmatch(digits) or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


_BRANDS = re.compile(
    r"4\d{12}(\d{3}){0,2}|(5[1-5]|2[2-7])\d{14}|3[47]\d{13}|(6011|65\d\d|64[4-9]\d|35\d\d)\d{12}"
    r"|3(0[0-5]|[68]\d)\d{11}|62\d{14,17}"
)


def _iban(text: str) -> bool:
    """Check digits by ISO 7064 mod 97-10."""
    plain = text.replace(" ", "").upper()
    turned = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def _address(text: str) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (found.is_unspecified or found.is_loopback)


def _yes(text: str) -> bool:
    return True


_SCREENS = {
    "e-mail address": "@",
    "IBAN": "[A-Z]{2}[0-9]{2}",
    "IP address": "[.:].*[.:]",
    "MAC address": "[:-].*[:-].*[:-]",
}
_PHONE_HINT = r"\b(phone|telephone|tel|mobile|cell|fax|msisdn|whatsapp)\b"
_CARD_HINT = r"\b(credit card|card (number|no)|cc (number|no)|pan)\b"
_DIGITS = r"(?<![\w.])\d{7,12}(?![\w.])"
_CARD = "payment card number"
_PHONE = "phone number"
FORMS = (
    Form("e-mail address", r"[\w.%+'-]{1,64}@[\w.-]+\.[^\W\d_]{2,}", _email, 0, r"\be?mail\b"),
    Form(_CARD, r"(?<![\w.-])\d{4}([ -])\d{4,6}\1\d{4,5}(\1\d{4})?(?![\w-])", _card, 0.01),
    Form(_CARD, r"(?<![\w.])\d{13,19}(?![\w.])", _card, 0.4, _CARD_HINT, 0.1),
    Form("IBAN", r"\b[A-Z]{2}\d{2}( ?[A-Z0-9]{4}){2,7}( ?[A-Z0-9]{1,3})?\b", _iban, 0.1, "iban"),
    Form(_PHONE, r"(?<![\w.])\+\d[\d ().\-/]{6,18}\d(?!\w)", _international, 0.02, _PHONE_HINT),
    Form(
        _PHONE,
        r"(?<![\w.])\(?0?\d{2,5}\)?[ .\-/]\d{3,4}[ .\-]?\d{3,4}(?![\w.-])",
        _national, 0.5, _PHONE_HINT, 0.3,
    ),
    Form(_PHONE, _DIGITS, _national, 1.0, _PHONE_HINT, 0.5, whole=True, hint_only=True),
    Form("IP address", r"[0-9A-Fa-f:.]{3,45}", _address, 0.5, r"\bip\b", whole=True),
    Form("MAC address", r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", _yes, 0.5, whole=True),
    Form(
        "US social security number",
        r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])",
        _yes, 0.05, r"\b(ssn|social security)\b",
    ),
    Form(
        "US social security number", r"(?!000|666|9)\d{9}", _yes, 1.0,
        r"\b(ssn|social security)\b", 0.5, whole=True, hint_only=True,
    ),
)  # fmt: skip

# What has no form: the name tells, and the values must fit and differ.
_HINTS = {
    "person's name": r"\b((first|last|full|given|family|sur|maiden|middle|nick|user)( )?name"
    r"|surname|forename)\b",
    "street address": r"\b(street|(home|postal|mailing|billing|shipping|delivery) address|addr"
    r"|address( line)?( ?[12])?$)\b",
    "date of birth": r"\b(born|birth ?(date|day)?|date of birth|dob)\b",
    "identity document": r"\b(passport|national id|identity card|driv(er|ing)s? licen[cs]e"
    r"|tax (id|number)|nin|tin|vat number)\b",
    "identifier of a person": r"\b(customer|client|patient|employee|user|member|passenger"
    r"|subscriber|person|student|account|card ?holder) ?(id|no|nr|number|key|code)\b",
}


def words_of(name: str) -> str:
    """A column's name as words in lower case: "customerID" and "customer_id" are the same."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return " ".join(re.findall(r"[^\W_]+", parted)).casefold()


def scan(sample: pa.Table) -> list[Finding]:
    """What the columns of a sample seem to hold; at most one finding a column and kind."""
    most = max(FEWEST, min(VALUES, ALL_VALUES // max(1, sample.num_columns)))
    findings = []
    for field, column in zip(sample.schema, sample.columns, strict=True):
        findings += _scan_column(field, column, most)
    return findings


def _scan_column(field: pa.Field, column: pa.ChunkedArray, most: int) -> list[Finding]:
    kind, words = field.type, words_of(field.name)
    present = pc.drop_null(column)
    different = pc.unique(present)
    is_text, is_whole = pa.types.is_string(kind), pa.types.is_integer(kind)
    found: dict[str, Finding] = {}
    if is_text or is_whole:
        sampled = pc.cast(_spread(present, most), pa.string())
        found = {one.kind: one for one in _by_form(field.name, words, sampled, is_text)}
    differs = len(different) >= max(2, DIFFERENT * len(present))
    for name, hint in _HINTS.items():
        suits = is_text or (name == "date of birth" and pa.types.is_temporal(kind))
        suits = suits or (is_whole and name in ("identity document", "identifier of a person"))
        if suits and differs and re.search(hint, words):
            found.setdefault(name, Finding(field.name, name, 0.0, len(present), True))
    return list(found.values())


def _spread(values: pa.ChunkedArray, most: int) -> pa.ChunkedArray:
    step = -(-len(values) // most) or 1
    return values.take(pa.array(range(0, len(values), step), pa.int64()))


def _by_form(name: str, words: str, sampled: pa.ChunkedArray, is_text: bool) -> Iterable[Finding]:
    counted = pc.value_counts(sampled)
    texts, counts = counted.field("values"), counted.field("counts")
    for form in FORMS:
        hinted = bool(re.search(form.hint, words))
        needs_hint = form.hint_only or (form.kind == _PHONE and not is_text)
        if not len(texts) or (needs_hint and not hinted):
            continue
        may = pc.match_substring_regex(texts, form.screen)
        pattern = re.compile(form.pattern)
        valid = [_has(form, pattern, text[:LONGEST]) for text in texts.filter(may).to_pylist()]
        count = int(sum(compress(counts.filter(may).to_pylist(), valid)))
        if count and count / len(sampled) >= (form.hinted if hinted else form.least):
            yield Finding(name, form.kind, count / len(sampled), len(sampled), hinted)


def _has(form: Form, pattern: re.Pattern[str], value: str) -> bool:
    if form.whole:
        return bool(pattern.fullmatch(value)) and form.valid(value)
    return any(form.valid(match.group()) for match in pattern.finditer(value))


def by_column(findings: Iterable[Finding]) -> Mapping[str, list[Finding]]:
    """Findings by column, the surest first."""
    columns: dict[str, list[Finding]] = {}
    for one in sorted(findings, key=lambda one: -one.share):
        columns.setdefault(one.column, []).append(one)
    return columns
