"""The API as a process, over real sockets."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from httpx_sse import connect_sse

from service.settings import Settings
