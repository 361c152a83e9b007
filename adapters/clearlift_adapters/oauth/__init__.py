"""Token endpoints: how each provider is asked, and what its answers mean.

`refresher` is the port TokenRefresher. It asks with what `providers` describes, sends it through
`exchange` (the one module that loads httpx), and has the answer judged by `verdicts`, with the
tables of `rfc6749`, `google`, `facebook` or `tiktok`. `wording` makes a sentence of a refusal.
"""
