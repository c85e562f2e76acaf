"""MQTT: measurements in, scheduler events out (paho-mqtt, MQTT 3.1.1 and 5).

A measurement name is a topic with `/` for `.`, behind an optional prefix; the payload is Waggle wire JSON.
"""

from edgesched.adapters.mqtt.publisher import MqttPublisher
from edgesched.adapters.mqtt.settings import MqttSettings
from edgesched.adapters.mqtt.source import MqttSource

__all__ = ["MqttPublisher", "MqttSettings", "MqttSource"]
