"""What tables are made of, as they stand in results.json. No numpy at import."""

from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]  # column → number, text or null
Rows: TypeAlias = list[Row]
