"""The doctor says what is masked of account numbers, and what only the firm can know; neither makes it red."""

from commands.doctor import _accounts
from commands.settings import Settings


def accounts_of(*patterns):
    settings = Settings()
    return _accounts(type(settings)(serve=type(settings.serve)(account_patterns=patterns)))


def test_a_site_without_account_patterns_is_told_so():
    finding = accounts_of()
    assert "[serve] account_patterns" in finding.result
    assert not finding.advice


def test_a_site_with_patterns_is_told_how_many():
    assert "2 of the firm's own" in accounts_of("[0-9]{8}-[0-9]{2}", "A[0-9]{9}").result
