import pytest
from test_python_grpc import *
@pytest.mark.parametrize("kind", ["collect", "chat"])
@pytest.mark.parametrize("n", range(30))
def test_dbg(session, echo, admission, issuer, n, kind):
    test_requests_of_aio_that_were_pulled_are_not_sent_again(session, echo, admission, issuer, kind)
