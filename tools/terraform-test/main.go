// What Terraform's azurerm provider does with a vault, through the provider's own client library (hashicorp/go-azure-sdk),
// unmodified: read the cloud's metadata, sign in, take the tenant and the object id from the token; then for a vault and a
// replication policy what a plan and an apply do: look that it is not there, make it, read it twice and compare, change it,
// remove it, and look that it is gone.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-azure-sdk/resource-manager/recoveryservices/2025-08-01/vaults"
	"github.com/hashicorp/go-azure-sdk/resource-manager/recoveryservicessiterecovery/2024-04-01/replicationfabrics"
	"github.com/hashicorp/go-azure-sdk/resource-manager/recoveryservicessiterecovery/2024-04-01/replicationpolicies"
	"github.com/hashicorp/go-azure-sdk/resource-manager/recoveryservicessiterecovery/2024-04-01/replicationprotecteditems"
	"github.com/hashicorp/go-azure-sdk/resource-manager/recoveryservicessiterecovery/2024-04-01/replicationrecoveryplans"
	"github.com/hashicorp/go-azure-sdk/sdk/auth"
	"github.com/hashicorp/go-azure-sdk/sdk/claims"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
)

const (
	group = "terraform-test"
	name  = "terraform-test"
)

func main() {
	// The library logs every request.
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Println("FAIL", err)
		os.Exit(1)
	}
	fmt.Println("terraform-test: everything as expected")
}

func run(ctx context.Context) error {
	url, subscription := os.Getenv("LEEWARD_URL"), os.Getenv("LEEWARD_SUBSCRIPTION_ID")
	environment, err := environments.FromEndpoint(ctx, url)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if environment.IsAzureStack() {
		return fmt.Errorf("the vault is taken for an Azure Stack")
	}
	ok("metadata of %s: cloud %s", url, environment.Name)

	credentials := auth.Credentials{
		Environment:                           *environment,
		TenantID:                              os.Getenv("LEEWARD_TENANT_ID"),
		ClientID:                              os.Getenv("LEEWARD_CLIENT_ID"),
		ClientSecret:                          os.Getenv("LEEWARD_CLIENT_SECRET"),
		EnableAuthenticatingUsingClientSecret: true,
	}
	for _, api := range []environments.Api{environment.MicrosoftGraph, environment.ResourceManager} {
		authorizer, err := auth.NewAuthorizerFromCredentials(ctx, credentials, api)
		if err != nil {
			return fmt.Errorf("authorizer of %s: %w", api.Name(), err)
		}
		token, err := authorizer.Token(ctx, &http.Request{})
		if err != nil {
			return fmt.Errorf("token for %s: %w", api.Name(), err)
		}
		found, err := claims.ParseClaims(token)
		if err != nil {
			return fmt.Errorf("claims of the token for %s: %w", api.Name(), err)
		}
		if found.TenantId != credentials.TenantID || found.AppId != credentials.ClientID || found.ObjectId == "" {
			return fmt.Errorf("the token for %s says %+v", api.Name(), found)
		}
		ok("token for %s", api.Name())
	}
	authorizer, err := auth.NewAuthorizerFromCredentials(ctx, credentials, environment.ResourceManager)
	if err != nil {
		return err
	}
	if err := vaultStory(ctx, environment, authorizer, subscription); err != nil {
		return fmt.Errorf("azurerm_recovery_services_vault: %w", err)
	}
	return nil
}

func vaultStory(ctx context.Context, environment *environments.Environment, authorizer auth.Authorizer, subscription string) error {
	client, err := vaults.NewVaultsClientWithBaseURI(environment.ResourceManager)
	if err != nil {
		return err
	}
	client.Client.Authorizer = authorizer
	id := vaults.NewVaultID(subscription, group, name)
	if answer, err := client.Get(ctx, id); err == nil || answer.HttpResponse == nil || answer.HttpResponse.StatusCode != 404 {
		return fmt.Errorf("before it is made, a GET answers %v", err)
	}
	off := vaults.SoftDeleteStateDisabled
	tags := map[string]string{"made": "by test"}
	input := vaults.Vault{
		Location: "local",
		Tags:     &tags,
		Sku:      &vaults.Sku{Name: vaults.SkuNameStandard},
		Properties: &vaults.VaultProperties{
			SecuritySettings: &vaults.SecuritySettings{SoftDeleteSettings: &vaults.SoftDeleteSettings{SoftDeleteState: &off}},
		},
	}
	if err := client.CreateOrUpdateThenPoll(ctx, id, input, vaults.DefaultCreateOrUpdateOperationOptions()); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	first, err := client.Get(ctx, id)
	if err != nil || first.Model == nil || first.Model.Id == nil {
		return fmt.Errorf("read: %w", err)
	}
	if _, err := vaults.ParseVaultID(*first.Model.Id); err != nil {
		return fmt.Errorf("its id %s: %w", *first.Model.Id, err)
	}
	second, err := client.Get(ctx, id)
	if err != nil || text(first.Model) != text(second.Model) {
		return fmt.Errorf("a second read differs: %v\n%s\n%s", err, text(first.Model), text(second.Model))
	}
	if first.Model.Location != "local" || first.Model.Sku.Name != vaults.SkuNameStandard || text(first.Model.Tags) != text(tags) {
		return fmt.Errorf("what was sent did not come back: %s", text(first.Model))
	}
	ok("azurerm_recovery_services_vault: 404, create, read, read again without a difference")

	tags["made"] = "by another test"
	if err := client.UpdateThenPoll(ctx, id, vaults.PatchVault{Tags: &tags}, vaults.DefaultUpdateOperationOptions()); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	if third, err := client.Get(ctx, id); err != nil || text(third.Model.Tags) != text(tags) {
		return fmt.Errorf("after the update: %v", err)
	}
	ok("azurerm_recovery_services_vault: update")

	if err := policyStory(ctx, environment, authorizer, subscription); err != nil {
		return fmt.Errorf("azurerm_site_recovery_vmware_replication_policy: %w", err)
	}
	if err := readStory(ctx, environment, authorizer, subscription); err != nil {
		return err
	}
	if err := client.DeleteThenPoll(ctx, id); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if answer, err := client.Get(ctx, id); err == nil || answer.HttpResponse == nil || answer.HttpResponse.StatusCode != 404 {
		return fmt.Errorf("after it was removed, a GET answers %v", err)
	}
	ok("azurerm_recovery_services_vault: delete, and it is gone")
	return nil
}

func policyStory(ctx context.Context, environment *environments.Environment, authorizer auth.Authorizer, subscription string) error {
	client, err := replicationpolicies.NewReplicationPoliciesClientWithBaseURI(environment.ResourceManager)
	if err != nil {
		return err
	}
	client.Client.Authorizer = authorizer
	id := replicationpolicies.NewReplicationPolicyID(subscription, group, name, name)
	if answer, err := client.Get(ctx, id); err == nil || answer.HttpResponse == nil || answer.HttpResponse.StatusCode != 404 {
		return fmt.Errorf("before it is made, a GET answers %v", err)
	}
	number := func(value int64) *int64 { return &value }
	multi := "True"
	terms := func(hours int64) replicationpolicies.InMageRcmPolicyCreationInput {
		return replicationpolicies.InMageRcmPolicyCreationInput{
			RecoveryPointHistoryInMinutes:     number(hours * 60),
			AppConsistentFrequencyInMinutes:   number(240),
			CrashConsistentFrequencyInMinutes: number(10),
			EnableMultiVMSync:                 &multi,
		}
	}
	input := replicationpolicies.CreatePolicyInput{Properties: &replicationpolicies.CreatePolicyInputProperties{ProviderSpecificInput: terms(24)}}
	if err := client.CreateThenPoll(ctx, id, input); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	read := func(hours int64) error {
		first, err := client.Get(ctx, id)
		if err != nil {
			return err
		}
		details, is := first.Model.Properties.ProviderSpecificDetails.(replicationpolicies.InMageRcmPolicyDetails)
		if !is {
			return fmt.Errorf("its details are %s", text(first.Model.Properties))
		}
		if *details.RecoveryPointHistoryInMinutes != hours*60 || *details.AppConsistentFrequencyInMinutes != 240 || *details.CrashConsistentFrequencyInMinutes != 10 {
			return fmt.Errorf("what was sent did not come back: %s", text(details))
		}
		second, err := client.Get(ctx, id)
		if err != nil || text(first.Model) != text(second.Model) {
			return fmt.Errorf("a second read differs: %v", err)
		}
		_, err = replicationpolicies.ParseReplicationPolicyID(*first.Model.Id)
		return err
	}
	if err := read(24); err != nil {
		return err
	}
	ok("azurerm_site_recovery_vmware_replication_policy: 404, create (a job), read, read again without a difference")
	update := replicationpolicies.UpdatePolicyInput{Properties: &replicationpolicies.UpdatePolicyInputProperties{ReplicationProviderSettings: terms(48)}}
	if err := client.UpdateThenPoll(ctx, id, update); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	if err := read(48); err != nil {
		return err
	}
	if err := client.DeleteThenPoll(ctx, id); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if answer, err := client.Get(ctx, id); err == nil || answer.HttpResponse == nil || answer.HttpResponse.StatusCode != 404 {
		return fmt.Errorf("after it was removed, a GET answers %v", err)
	}
	ok("azurerm_site_recovery_vmware_replication_policy: update, delete, and it is gone")
	return nil
}

// The reads with which the other resources begin; without a registered site there is nothing that they could make.
func readStory(ctx context.Context, environment *environments.Environment, authorizer auth.Authorizer, subscription string) error {
	fabrics, err := replicationfabrics.NewReplicationFabricsClientWithBaseURI(environment.ResourceManager)
	if err != nil {
		return err
	}
	fabrics.Client.Authorizer = authorizer
	if _, err := fabrics.ListComplete(ctx, replicationfabrics.NewVaultID(subscription, group, name)); err != nil {
		return fmt.Errorf("list of fabrics: %w", err)
	}
	items, err := replicationprotecteditems.NewReplicationProtectedItemsClientWithBaseURI(environment.ResourceManager)
	if err != nil {
		return err
	}
	items.Client.Authorizer = authorizer
	if _, err := items.ListComplete(ctx, replicationprotecteditems.NewVaultID(subscription, group, name), replicationprotecteditems.DefaultListOperationOptions()); err != nil {
		return fmt.Errorf("list of protected items: %w", err)
	}
	plans, err := replicationrecoveryplans.NewReplicationRecoveryPlansClientWithBaseURI(environment.ResourceManager)
	if err != nil {
		return err
	}
	plans.Client.Authorizer = authorizer
	if answer, err := plans.Get(ctx, replicationrecoveryplans.NewReplicationRecoveryPlanID(subscription, group, name, "none")); err == nil || answer.HttpResponse == nil || answer.HttpResponse.StatusCode != 404 {
		return fmt.Errorf("a recovery plan that is not there answers %v", err)
	}
	ok("lists of fabrics and protected items; 404 for a recovery plan")
	return nil
}

func ok(format string, values ...any) { fmt.Printf("  ok "+format+"\n", values...) }

func text(value any) string {
	bytes, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(bytes)
}
