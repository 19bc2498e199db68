"""Makes, lists and deletes a vault with the public Python packages, as docs/api/az.md shows them."""

import os

from azure.identity import ClientSecretCredential
from azure.mgmt.recoveryservices import RecoveryServicesClient

url = os.environ["LEEWARD_URL"]
ca = os.environ["LEEWARD_CA_FILE"]

credential = ClientSecretCredential(
    tenant_id=os.environ["LEEWARD_TENANT_ID"],
    client_id=os.environ["LEEWARD_CLIENT_ID"],
    client_secret=os.environ["LEEWARD_CLIENT_SECRET"],
    authority=url,
    disable_instance_discovery=True,
    connection_verify=ca,
)
client = RecoveryServicesClient(
    credential,
    os.environ["LEEWARD_SUBSCRIPTION_ID"],
    base_url=url,
    credential_scopes=[f"{url}/.default"],
    connection_verify=ca,
)
client.vaults.begin_create_or_update(
    "az-test",
    "az-test-python",
    {"location": "local", "sku": {"name": "Standard"}, "properties": {}},
).result()
for vault in client.vaults.list_by_subscription_id():
    print(vault.name, vault.properties.provisioning_state)
client.vaults.begin_delete("az-test", "az-test-python").result()
