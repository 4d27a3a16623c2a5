from django.http import HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from served_gate import gate

from modelgate import mount


@csrf_exempt
def double(request):
    return gate.handle(request, "double")


@csrf_exempt
async def double_async(request):
    return await gate.handle(request, "double")


urlpatterns = [
    path("about", lambda request: HttpResponse("the host")),
    path("double", double),
    path("double-async", double_async),
    path("ml/", include(mount.django.urls(gate))),
]
