from pyramid.config import Configurator
from pyramid.response import Response
from served_gate import gate

from modelgate import mount

with Configurator() as config:
    config.add_route("about", "/about")
    config.add_view(lambda request: Response("the host"), route_name="about")
    config.add_route("double", "/double")
    config.add_view(lambda request: gate.handle(request, "double"), route_name="double")
    app = mount.wsgi.mount(config.make_wsgi_app(), "/ml", gate)
