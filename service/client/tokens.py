"""What the client asks about tokens."""

from urllib.parse import quote

from service.api.tokens.schemas import LoginLink, NewTokenView, Tokens, TokenView
from service.client.requests import IS_JSON, Requests, as_json
from service.tokens import Scope


class RequestsOfTokens(Requests):
    """Makes, lists and revokes tokens, and lets browsers in."""

    def create_token(
        self, name: str, scope: Scope | str = Scope.READ, *, days: int = 90
    ) -> NewTokenView:
        """Make a token; its `token` cannot be read again.

        Where this answer is lost on its way, the token is there, and the repeated request is
        refused because of its name.
        """
        wanted = as_json({"name": name, "scope": str(scope), "days": days})
        return self._connection.ask(
            NewTokenView, "POST", "/tokens", content=wanted, headers=IS_JSON
        )

    def tokens(self) -> list[TokenView]:
        """Fetch the tokens and browsers that have not been revoked, the newest first."""
        return self._connection.ask(Tokens, "GET", "/tokens").tokens

    def revoke_token(self, name: str) -> TokenView:
        """Revoke a token, or log a browser out."""
        path = f"/tokens/{quote(name, safe='')}/revoke"
        return self._connection.ask(TokenView, "POST", path)

    def login_link(self, scope: Scope | str = Scope.READ) -> str:
        """Make an address that logs one browser in, once, within the next minutes."""
        params = {"scope": str(scope)}
        link = self._connection.ask(LoginLink, "POST", "/login-links", params=params)
        return self.url + link.url
