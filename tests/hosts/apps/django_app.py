import django
from django.conf import settings

settings.configure(
    ROOT_URLCONF="django_urls",
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of the host",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

app = get_wsgi_application()
asgi_app = get_asgi_application()
