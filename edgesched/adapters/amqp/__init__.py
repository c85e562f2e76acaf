"""AMQP 0-9-1 to the RabbitMQ of a Waggle node: measurements in, scheduler events out (pika).

Needs the extra `edgesched[amqp]`. What a Waggle node expects: messages go to the exchange `to-validator` with the scope
as routing key and our login as `user_id`; validated measurements come from `data.topic` with the name as routing key.
"""

from edgesched.adapters.amqp.publisher import AmqpPublisher
from edgesched.adapters.amqp.settings import AmqpSettings
from edgesched.adapters.amqp.source import AmqpSource

__all__ = ["AmqpPublisher", "AmqpSettings", "AmqpSource"]
